// POST /v1/responses: what is asked, made into a chat request (docs/serving.md).
#pragma once

#include <optional>
#include <string>

#include "server/chat_request.h"

namespace fathom {

struct ResponsesRequest {
  ChatRequest chat;
  Json messages = Json::array();     // without the instructions, earlier ones included
  Json input_items = Json::array();  // of this request
  Json shown = Json::object();       // the fields that the answer repeats
  bool store = true;
  bool background = false;
};

// earlier: the messages of the response that this one goes on from; null: none.
std::optional<ApiError> parse_responses_request(const Json& body, const Json& earlier,
                                                const SamplingParams& defaults, int64_t vocab_size,
                                                ResponsesRequest& out);

}  // namespace fathom
