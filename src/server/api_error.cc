#include "server/api_error.h"

#include "io/json.h"

namespace fathom {

ApiError invalid_request(std::string_view param, std::string message, std::string_view code) {
  return {.status = 400,
          .message = std::move(message),
          .param = std::string(param),
          .code = std::string(code)};
}

std::string_view error_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
    case 405:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    case 503:
      return "service_unavailable_error";
    default:
      return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

std::string error_body(const ApiError& error) {
  const auto or_null = [](const std::string& text) { return text.empty() ? Json() : Json(text); };
  const Json body = Json::Object{{"error", Json::Object{{"message", error.message},
                                                        {"type", error_type(error.status)},
                                                        {"param", or_null(error.param)},
                                                        {"code", or_null(error.code)}}}};
  return body.dump();
}

ApiError engine_error(const TokenEvent& event) {
  if (event.finish == FinishReason::kExpired)
    return {.status = 503,
            .message = "the request's deadline has passed",
            .param = "",
            .code = "deadline_exceeded"};
  return {.status = 500, .message = event.error, .param = "", .code = "engine_failed"};
}

HttpResponse error_response(const ApiError& error) {
  HttpResponse out;
  out.status = error.status;
  out.body = error_body(error);
  if (error.retry_after_seconds > 0)
    out.headers.emplace_back("Retry-After", std::to_string(error.retry_after_seconds));
  return out;
}

}  // namespace fathom
