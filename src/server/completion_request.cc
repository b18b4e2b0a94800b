#include "server/completion_request.h"

#include <algorithm>

#include "server/constraint_fields.h"

namespace fathom {

namespace {

class PromptReader {
 public:
  PromptReader(ApiFields& fields, int64_t vocab_size, const Tokenizer& tokenizer,
               CompletionRequest& out)
      : fields_(fields), vocab_size_(vocab_size), tokenizer_(tokenizer), out_(out) {}

  void read() {
    const Json* const prompt = fields_.find("prompt");
    if (prompt == nullptr) {
      fields_.fail("prompt", "prompt is missing", "missing_field");
      return;
    }
    fields_.text("suffix", suffix_);
    if (prompt->is_string()) {
      add_text(prompt->as_string());
      return;
    }
    if (!prompt->is_array() || prompt->as_array().empty()) {
      fields_.fail("prompt", "prompt is neither a text nor a list that holds something");
      return;
    }
    if (prompt->as_array().front().is_int()) {
      add_ids(*prompt);
      return;
    }
    if (prompt->as_array().size() > kPromptsMax) {
      fields_.fail("prompt", str_cat("prompt has ", prompt->as_array().size(), " entries, at most ",
                                     kPromptsMax, " are taken"));
      return;
    }
    for (const Json& entry : prompt->as_array()) {
      if (!fields_.ok()) return;
      if (entry.is_string()) {
        add_text(entry.as_string());
      } else if (entry.is_array()) {
        add_ids(entry);
      } else {
        fields_.fail("prompt", str_cat("an entry of prompt is ", entry.type_name(),
                                       ", expected a text or a list of token ids"));
      }
    }
  }

 private:
  void add_text(const std::string& text) {
    if (suffix_.empty()) {
      add(tokenizer_.encode(text, {.add_special = true, .recognize_added = true}));
      return;
    }
    const auto begin = tokenizer_.token_to_id("<｜fim▁begin｜>");
    const auto hole = tokenizer_.token_to_id("<｜fim▁hole｜>");
    const auto end = tokenizer_.token_to_id("<｜fim▁end｜>");
    if (!begin || !hole || !end) {
      fields_.fail("suffix", "this model cannot fill in: its tokenizer has no fim tokens",
                   "unsupported_value");
      return;
    }
    std::vector<int32_t> ids;
    if (tokenizer_.bos_token_id()) ids.push_back(*tokenizer_.bos_token_id());
    const auto append = [&](const std::string& part) {
      const auto more = tokenizer_.encode(part, {.recognize_added = false});
      ids.insert(ids.end(), more.begin(), more.end());
    };
    ids.push_back(*begin);
    append(text);
    ids.push_back(*hole);
    append(suffix_);
    ids.push_back(*end);
    add(std::move(ids));
  }

  void add_ids(const Json& list) {
    std::vector<int32_t> ids;
    for (const Json& entry : list.as_array()) {
      if (!entry.is_int() || entry.as_int() < 0 || entry.as_int() >= vocab_size_) {
        fields_.fail("prompt", str_cat("an entry of prompt is ", entry.dump().substr(0, 40),
                                       ", expected a token id below ", vocab_size_));
        return;
      }
      ids.push_back(static_cast<int32_t>(entry.as_int()));
    }
    add(std::move(ids));
  }

  void add(std::vector<int32_t> ids) {
    if (ids.empty()) fields_.fail("prompt", "the prompt is empty; give at least one token");
    out_.prompts.push_back(std::move(ids));
  }

  ApiFields& fields_;
  int64_t vocab_size_;
  const Tokenizer& tokenizer_;
  CompletionRequest& out_;
  std::string suffix_;
};

}  // namespace

std::optional<ApiError> parse_completion_request(const Json& body, const SamplingParams& defaults,
                                                 int64_t vocab_size, const Tokenizer& tokenizer,
                                                 CompletionRequest& out) {
  ApiFields fields(body);
  fields.text("model", out.model, 1024);
  read_generation(fields, defaults, vocab_size, out.generation);
  GenerateRequest& request = out.generation.request;
  if (request.max_tokens >= 0) out.max_tokens = request.max_tokens;
  fields.boolean("echo", out.echo);
  if (out.max_tokens == 0 && !out.echo)
    fields.fail("max_tokens", "max_tokens is 0, which only \"echo\": true makes sense of");
  request.max_tokens = std::max<int64_t>(1, out.max_tokens);
  fields.integer("logprobs", out.logprobs, 0, kTopLogprobsMax);
  request.logprobs = out.logprobs;
  if (out.echo) request.prompt_logprobs = out.logprobs;
  read_constraint(fields, request);
  if (fields.has("prompt_logprobs"))
    fields.fail("prompt_logprobs",
                "prompt_logprobs is not taken; \"echo\" and \"logprobs\" give them",
                "unsupported_value");
  if (fields.ok()) PromptReader(fields, vocab_size, tokenizer, out).read();
  return fields.error();
}

}  // namespace fathom
