// Chat templates: the Jinja program that comes with a model and makes a prompt's text of messages.
// The interpreter is our own (jinja_*.h) and bounded; it means what jinja2 means as `transformers`
// sets it up (docs/chat_template.md).
//
// What is rendered comes in parts that say whether the template or the data wrote them: only in
// trusted text may a tokenizer recognise control tokens.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/json.h"
#include "tokenizer/jinja_budget.h"

namespace fathom {

struct RenderedPart {
  std::string text;  // not empty
  bool trusted = false;
};

struct Rendered {
  std::vector<RenderedPart> parts;  // neighbours differ in `trusted`
  std::string text() const;
};

// Movable. Threads may render with one object at the same time.
class ChatTemplate {
 public:
  // The error names the line and what is wrong there.
  static Result<ChatTemplate> parse(std::string_view source, const JinjaLimits& limits = {});

  // Each member of context (an object) is a variable of the template: "messages", "tools",
  // "add_generation_prompt" and any others. bos_token and eos_token are trusted; they give way to
  // members of those names.
  Result<Rendered> render(const Json& context, std::string_view bos_token,
                          std::string_view eos_token) const;

 private:
  struct State;
  explicit ChatTemplate(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

// Which template of a model's folder renders: the file chat_template.jinja if there is one (its
// text, else empty), else `chat_template` in tokenizer_config.json: a text, or a list of {"name",
// "template"} of which "default" counts, or with tools "tool_use" if it is there.
Result<ChatTemplate> choose_chat_template(std::string_view chat_template_jinja,
                                          std::string_view tokenizer_config_json, bool with_tools);

}  // namespace fathom
