// What a client is told when a request cannot be served: OpenAI's shape, all four keys always
// there.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/request.h"
#include "server/http_server.h"

namespace fathom {

struct ApiError {
  int status = 400;
  std::string message;  // one sentence: what is wrong, where, what to do
  std::string param;    // the field; empty: null
  std::string code;     // a short word; empty: null
  int64_t retry_after_seconds = 0;
};

// 400, invalid_request_error.
ApiError invalid_request(std::string_view param, std::string message,
                         std::string_view code = "invalid_value");

// "invalid_request_error", "authentication_error", ...: follows from the status.
std::string_view error_type(int status);
// {"error": {"message", "type", "param", "code"}}
std::string error_body(const ApiError& error);
// Of an event that ends a request without its answer (kFailed, kExpired).
ApiError engine_error(const TokenEvent& event);
HttpResponse error_response(const ApiError& error);

}  // namespace fathom
