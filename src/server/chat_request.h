// POST /v1/chat/completions: what is asked (docs/http_api.md).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "server/chat_messages.h"
#include "server/generation_fields.h"

namespace fathom {

// The answer must be calls of tools.
struct ForcedCalls {
  std::vector<std::string> names;  // that may be called
  int64_t calls_max = 1;
};

struct ChatRequest {
  std::string model;
  GenerationFields generation;
  ChatMessages conversation;
  Json context;  // what the template sees
  bool parses_calls = false;
  bool legacy_functions = false;  // the answer's call is a "function_call", and one at most
  std::optional<ForcedCalls> forced_calls;
  // Where calls are not forced and a tool is strict: how many at once, if there are any.
  std::optional<int64_t> strict_calls_max;
  bool logprobs = false;
  bool stream_reasoning = true;
};

std::optional<ApiError> parse_chat_request(const Json& body, const SamplingParams& defaults,
                                           int64_t vocab_size, ChatRequest& out);

}  // namespace fathom
