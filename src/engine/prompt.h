// From what a person gives (raw text, or messages) to the ids of a prompt. Raw text gets the BOS
// that the tokenizer's config asks for; a rendered template never does, since templates write their
// own. What stands inside messages can never become a control token unless the caller says so (spec
// §4.3; docs/chat_template.md).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/json.h"
#include "io/model_files.h"
#include "tokenizer/chat_template.h"
#include "tokenizer/tokenizer.h"

namespace fathom {

// {"role", "content"}.
Json chat_message(std::string_view role, std::string_view content);
// A call of a tool, as messages of the assistant hold it: {"id", "type", "function": {"name",
// "arguments"}}. arguments: a JSON text.
Json chat_call(std::string_view id, std::string_view name, std::string_view arguments);
// What a template sees of a conversation that waits for its next answer.
Json chat_context(Json messages, bool thinking);

class PromptBuilder {
 public:
  // Templates are parsed when first needed: a model without one can still be given raw text.
  // control_tokens: added tokens that are spelled inside messages count as such (a caller who asks
  // for it).
  PromptBuilder(const ModelFiles& files, const Tokenizer& tokenizer, bool control_tokens = false)
      : files_(files), tokenizer_(tokenizer), control_tokens_(control_tokens) {}

  // Parses what there is now: after it, threads may use this at once. Errors: a template that is
  // none.
  Status load();

  std::vector<int32_t> from_text(std::string_view text) const;
  // context: messages, tools, add_generation_prompt and whatever else the template takes
  // (docs/chat_template.md).
  Result<std::vector<int32_t>> from_chat(const Json& context);
  Result<Rendered> render(const Json& context);

 private:
  const ModelFiles& files_;
  const Tokenizer& tokenizer_;
  bool control_tokens_;
  Status load(std::optional<ChatTemplate>& chosen, bool with_tools);
  std::optional<ChatTemplate> plain_, with_tools_;
  bool loaded_ = false;
};

}  // namespace fathom
