// POST /v1/chat/completions: what is asked (docs/http_api.md).
#pragma once

#include <optional>
#include <string>

#include "server/chat_messages.h"
#include "server/generation_fields.h"

namespace fathom {

struct ChatRequest {
  std::string model;
  GenerationFields generation;
  ChatMessages conversation;
  Json context;  // what the template sees
  bool parses_calls = false;
  bool logprobs = false;
  bool stream_reasoning = true;
};

std::optional<ApiError> parse_chat_request(const Json& body, const SamplingParams& defaults,
                                           int64_t vocab_size, ChatRequest& out);

}  // namespace fathom
