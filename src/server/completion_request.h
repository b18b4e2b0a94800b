// POST /v1/completions: what is asked (docs/http_api.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "server/generation_fields.h"
#include "tokenizer/tokenizer.h"

namespace fathom {

inline constexpr size_t kPromptsMax = 1'024;

struct CompletionRequest {
  std::string model;
  GenerationFields generation;
  std::vector<std::vector<int32_t>> prompts;
  bool echo = false;
  int64_t logprobs = -1;    // -1: none; n: of each token, and of the n best
  int64_t max_tokens = 16;  // 0 with echo: nothing is generated
};

// Texts become tokens as the tokenizer's files say; with "suffix" the prompt is what the model
// fills in the middle of (spec §4.5).
std::optional<ApiError> parse_completion_request(const Json& body, const SamplingParams& defaults,
                                                 int64_t vocab_size, const Tokenizer& tokenizer,
                                                 CompletionRequest& out);

}  // namespace fathom
