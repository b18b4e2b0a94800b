#include "server/routes.h"

#include <algorithm>
#include <ctime>
#include <random>

#include "base/utf8.h"
#include "io/printable.h"
#include "server/messages_answer.h"
#include "server/percent.h"

namespace fathom {

namespace {

constexpr size_t kRequestIdBytesMax = 128;

bool is_request_id(std::string_view id) {
  return !id.empty() && id.size() <= kRequestIdBytesMax &&
         std::all_of(id.begin(), id.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_' || c == '.';
         });
}

// Clients are given base URLs with and without a version.
std::string_view without_version(std::string_view path) {
  for (const std::string_view prefix : {"/v1", "/beta"}) {
    if (path.starts_with(prefix) && path.substr(prefix.size()).starts_with('/'))
      return path.substr(prefix.size());
  }
  return path;
}

bool is_json(std::string_view content_type) {
  content_type = content_type.substr(0, content_type.find(';'));
  while (content_type.ends_with(' ')) content_type.remove_suffix(1);
  return content_type == "application/json";
}

// Whether the head says that something follows it.
bool has_body(const HttpRequest& request) {
  return !request.header("transfer-encoding").empty() ||
         request.header("content-length").find_first_not_of('0') != std::string_view::npos;
}

std::optional<ApiError> check_no_body(const HttpRequest& request) {
  if (!has_body(request)) return std::nullopt;
  return ApiError{.status = 413,
                  .message = "this endpoint takes no body",
                  .param = "",
                  .code = "body_not_taken"};
}

}  // namespace

Routes::Routes(const ServedModel& model, EngineThread& engine, const RoutesOptions& options)
    : model_(model), engine_(engine), options_(options), access_(options.access) {}

const std::vector<Routes::Route>& Routes::routes() {
  static const std::vector<Route> kRoutes = {
      {"POST", "/chat/completions", &Routes::chat_completions, true},
      {"POST", "/messages", &Routes::messages, true},
      {"POST", "/messages/count_tokens", &Routes::count_tokens, true},
      {"POST", "/completions", &Routes::completions, true},
      {"POST", "/responses", &Routes::responses, true},
      {"GET", "/responses/", &Routes::one_response, true},
      {"DELETE", "/responses/", &Routes::delete_response, true},
      {"POST", "/responses/", &Routes::cancel_response, true},
      {"GET", "/models", &Routes::models, true},
      {"GET", "/models/", &Routes::one_model, true},
      {"POST", "/tokenize", &Routes::tokenize, true},
      {"POST", "/detokenize", &Routes::detokenize, true},
      {"GET", "/tokenizer_info", &Routes::tokenizer_info, true},
      {"POST", "/render", &Routes::render, true},
      {"GET", "/metrics", &Routes::metrics, true},
      {"GET", "/version", &Routes::version, true},
      {"GET", "/", &Routes::page, false},
      {"GET", "/health", &Routes::health, false},
      {"GET", "/ping", &Routes::health, true},
      {"GET", "/ready", &Routes::ready, false},
  };
  return kRoutes;
}

Routes::Call Routes::begin(const HttpRequest& request, std::shared_ptr<HttpReply> reply) const {
  Call call = {.request = request,
               .reply = std::move(reply),
               .route = "other",
               .argument = "",
               .headers = access_.cors_headers(request)};
  const std::string_view id = request.header("x-request-id");
  call.headers.emplace_back("x-request-id", is_request_id(id) ? std::string(id) : make_id("req_"));
  return call;
}

void Routes::handle(const std::shared_ptr<const HttpRequest>& request,
                    const std::shared_ptr<HttpReply>& reply) {
  Call call = begin(*request, reply);
  const Route* route = nullptr;
  if (const auto error = find_route(call, route)) return refuse(call, *error);
  if (route != nullptr) return (this->*route->handler)(call);
  HttpResponse response;
  response.status = 204;
  send(call, std::move(response));
}

std::optional<HttpResponse> Routes::refusal_by_head(const HttpRequest& request) {
  Call call = begin(request, nullptr);
  const Route* route = nullptr;
  if (const auto error = find_route(call, route)) return finished(call, refusal(call, *error));
  return std::nullopt;
}

std::optional<ApiError> Routes::find_route(Call& call, const Route*& found) const {
  if (auto error = access_.check_origin(call.request)) return error;
  if (call.request.method == "OPTIONS") return check_no_body(call.request);
  const std::string_view path = without_version(call.request.path);
  const std::string_view method =
      call.request.method == "HEAD" ? "GET" : std::string_view(call.request.method);
  std::string allowed;
  for (const Route& route : routes()) {
    const bool is_prefix = route.path.ends_with('/') && route.path != "/";
    if (is_prefix ? !path.starts_with(route.path) : path != route.path) continue;
    if (route.method != method) {
      if (allowed.find(route.method) == std::string::npos)
        allowed += (allowed.empty() ? "" : ", ") + std::string(route.method);
      continue;
    }
    call.route = std::string(route.path);
    call.is_messages = path.starts_with("/messages");
    if (route.needs_key) {
      if (auto error = access_.check_key(call.request)) return error;
    }
    if (route.method != "POST") {
      if (auto error = check_no_body(call.request)) return error;
    }
    if (is_prefix) {
      auto argument = percent_decoded(path.substr(route.path.size()));
      if (!argument) return invalid_request("", "the address holds a % that begins no escape");
      call.argument = *std::move(argument);
    }
    found = &route;
    return std::nullopt;
  }
  if (!allowed.empty()) {
    call.headers.emplace_back("Allow", allowed);
    return ApiError{.status = 405,
                    .message = str_cat("this endpoint takes ", allowed, " only"),
                    .param = "",
                    .code = "method_not_allowed"};
  }
  return ApiError{.status = 404,
                  .message = str_cat("there is no endpoint ", printable(call.request.path)),
                  .param = "",
                  .code = "unknown_endpoint"};
}

HttpResponse Routes::finished(const Call& call, HttpResponse response) {
  metrics_.count(call.route, response.status);
  response.headers.insert(response.headers.end(), call.headers.begin(), call.headers.end());
  return response;
}

HttpResponse Routes::refusal(const Call& call, const ApiError& error) const {
  return call.is_messages ? messages_error_response(error) : error_response(error);
}

void Routes::send(Call& call, HttpResponse response) {
  call.reply->send(finished(call, std::move(response)));
}

void Routes::send(Call& call, const Json& body) {
  HttpResponse response;
  response.body = body.dump();
  send(call, std::move(response));
}

void Routes::refuse(Call& call, const ApiError& error) { send(call, refusal(call, error)); }

// One JSON object, said to be one.
bool Routes::read_body(Call& call, Json& body) {
  const HttpRequest& request = call.request;
  if (!is_json(request.header("content-type"))) {
    refuse(call, invalid_request("", "the body's Content-Type is not application/json",
                                 "invalid_content_type"));
    return false;
  }
  const std::string_view encoding = request.header("content-encoding");
  if (!encoding.empty() && encoding != "identity") {
    refuse(call, {.status = 415,
                  .message = "packed bodies are not taken; send it without Content-Encoding",
                  .param = "",
                  .code = "unsupported_encoding"});
    return false;
  }
  if (request.body.starts_with(kByteOrderMark)) {
    refuse(call, invalid_request("", "the body begins with a byte order mark, which JSON has not",
                                 "invalid_json"));
    return false;
  }
  Result<Json> parsed = parse_json(request.body);
  if (!parsed.ok()) {
    refuse(call, invalid_request("", str_cat("the body is not JSON: ", parsed.error().message),
                                 "invalid_json"));
    return false;
  }
  body = std::move(parsed).value();
  return true;
}

bool Routes::check_model(Call& call, const std::string& name) {
  if (name.empty() || model_.has_name(name)) return true;
  refuse(call, {.status = 404,
                .message = str_cat("the model \"", name.substr(0, 100), "\" is not served here; \"",
                                   model_.names.front(), "\" is"),
                .param = "model",
                .code = "model_not_found"});
  return false;
}

AnswerHead Routes::head(const Call& call, std::string_view id_prefix,
                        const std::string& model) const {
  return {.id = make_id(id_prefix),
          .model = model.empty() ? model_.names.front() : model,
          .fingerprint = model_.fingerprint,
          .created = static_cast<int64_t>(std::time(nullptr)),
          .headers = call.headers};
}

// Requests of different keys share nothing in the cache, and without a seed no two draw alike.
GenerateRequest Routes::with_own_seed(const Call& call, const GenerateRequest& asked,
                                      bool has_seed) {
  GenerateRequest out = asked;
  out.cache_partition = access_.partition(call.request) + asked.cache_partition;
  if (!has_seed) {
    std::random_device device;
    out.sampling.seed = (uint64_t{device()} << 32) ^ device();
  }
  return out;
}

TicketId Routes::submit(Call& call, bool stream, std::vector<GenerateRequest> choices,
                        std::shared_ptr<TokenListener> listener, bool ends_with_client) {
  if (stream) call.reply->expect_events(events_head(call.headers));
  const EngineThread::Submitted submitted = engine_.submit(std::move(choices), std::move(listener));
  switch (submitted.refusal) {
    case EngineThread::Refusal::kNone:
      if (ends_with_client) {
        metrics_.count(call.route, 200);
        call.reply->on_close([&engine = engine_, id = submitted.ticket] { engine.cancel(id); });
      }
      return submitted.ticket;
    case EngineThread::Refusal::kBusy:
      refuse(call, {.status = 429,
                    .message = submitted.message + "; try again later",
                    .param = "",
                    .code = "queue_full",
                    .retry_after_seconds = engine_.retry_after().count()});
      break;
    case EngineThread::Refusal::kEnding:
      refuse(call, {.status = 503,
                    .message = submitted.message,
                    .param = "",
                    .code = "shutting_down",
                    .retry_after_seconds = 5});
      break;
  }
  return 0;
}

}  // namespace fathom
