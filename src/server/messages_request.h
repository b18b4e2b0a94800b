// POST /v1/messages: Anthropic's shape of a chat request, made into the other one
// (docs/serving.md).
#pragma once

#include <optional>

#include "server/chat_request.h"

namespace fathom {

// Blocks of text are joined, tool_use becomes a call, tool_result a message of a tool, "system" the
// first message. Errors name the field as the client wrote it.
std::optional<ApiError> parse_messages_request(const Json& body, const SamplingParams& defaults,
                                               int64_t vocab_size, ChatRequest& out);

}  // namespace fathom
