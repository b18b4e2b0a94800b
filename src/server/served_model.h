// What the routes know of the model that is served.
#pragma once

#include <string>
#include <vector>

#include "engine/loaded_model.h"
#include "engine/prompt.h"
#include "io/json.h"

namespace fathom {

struct ServedModel {
  const LoadedModel& model;
  PromptBuilder& prompts;          // loaded: threads may use it at once
  std::vector<std::string> names;  // the first is its own, the others are aliases
  std::string fingerprint;         // version, weights and instruction set
  int64_t created = 0;             // seconds of the epoch

  bool has_name(const std::string& name) const;
};

// A token as answers show it: its text (U+FFFD where it is no whole character), and its bytes.
std::string token_text(const Tokenizer& tokenizer, int32_t token);
Json token_bytes_json(const Tokenizer& tokenizer, int32_t token);

// {"token", "logprob", "bytes", "top_logprobs"}, as chat and responses show a token.
Json logprob_json(const Tokenizer& tokenizer, int32_t token, float logprob,
                  const std::vector<TokenLogprob>& top);

// An id that no other has: prefix and 24 hexadecimal digits.
std::string make_id(std::string_view prefix);

}  // namespace fathom
