#include "server/access.h"

#include <algorithm>
#include <span>

#include "io/sha256.h"

namespace fathom {

namespace {

constexpr size_t kKeyBytesMax = 1024;

// All bytes are looked at, whatever differs.
bool same_key(std::string_view a, std::string_view b) {
  unsigned difference = a.size() == b.size() ? 0 : 1;
  for (size_t i = 0; i < b.size(); ++i) {
    const char c = a.empty() ? '\0' : a[i % a.size()];
    difference |= static_cast<unsigned char>(c ^ b[i]);
  }
  return difference == 0;
}

std::string_view given_key(const HttpRequest& request) {
  constexpr std::string_view kBearer = "bearer ";
  const std::string_view authorization = request.header("authorization");
  if (authorization.size() > kBearer.size()) {
    const std::string_view scheme = authorization.substr(0, kBearer.size());
    const bool is_bearer =
        std::equal(scheme.begin(), scheme.end(), kBearer.begin(),
                   [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; });
    if (is_bearer) return authorization.substr(kBearer.size());
  }
  return request.header("x-api-key");
}

// "http://localhost:8080" -> "localhost:8080".
std::string_view host_of(std::string_view origin) {
  const size_t at = origin.find("://");
  return at == std::string_view::npos ? origin : origin.substr(at + 3);
}

std::string_view without_port(std::string_view host) {
  if (host.starts_with('[')) return host.substr(0, host.find(']') + 1);
  return host.substr(0, host.find(':'));
}

bool names_this_machine(std::string_view host) {
  const std::string_view name = without_port(host);
  const bool is_address = name.find_first_not_of("0123456789.") == std::string_view::npos;
  return name == "localhost" || name == "[::1]" || (is_address && name.starts_with("127."));
}

}  // namespace

std::optional<ApiError> Access::check_key(const HttpRequest& request) const {
  if (options_.api_keys.empty()) return {};
  const std::string_view key = given_key(request);
  bool known = false;
  for (const std::string& one : options_.api_keys) known = same_key(key, one) || known;
  const bool several = request.n_headers("authorization") > 1 || request.n_headers("x-api-key") > 1;
  if (known && !several && key.size() <= kKeyBytesMax) return {};
  return ApiError{.status = 401,
                  .message =
                      "the API key is missing or wrong; send it as \"Authorization: Bearer "
                      "KEY\"",
                  .param = "",
                  .code = "invalid_api_key"};
}

bool Access::is_allowed(std::string_view origin) const {
  return std::any_of(options_.origins.begin(), options_.origins.end(),
                     [origin](const std::string& one) { return one == "*" || one == origin; });
}

std::optional<ApiError> Access::check_origin(const HttpRequest& request) const {
  const std::string_view host = request.header("host"), origin = request.header("origin");
  const auto refused = [](std::string message, std::string code) {
    return ApiError{
        .status = 403, .message = std::move(message), .param = "", .code = std::move(code)};
  };
  if (options_.loopback_only && !host.empty() && !names_this_machine(host))
    return refused("the Host header names another machine than this one", "host_not_allowed");
  if (origin.empty() || host_of(origin) == host || is_allowed(origin)) return {};
  return refused("pages of this origin may not ask; start the server with --cors ORIGIN",
                 "origin_not_allowed");
}

HttpHeaders Access::cors_headers(const HttpRequest& request) const {
  const std::string_view origin = request.header("origin");
  if (origin.empty() || !is_allowed(origin)) return {};
  // Clients send headers of their own (x-stainless-..., anthropic-version): none does harm.
  const std::string_view asked = request.header("access-control-request-headers");
  return {
      {"Access-Control-Allow-Origin", std::string(origin)},
      {"Vary", "Origin, Access-Control-Request-Headers"},
      {"Access-Control-Allow-Headers",
       asked.empty() ? "authorization, content-type, x-api-key, x-request-id" : std::string(asked)},
      {"Access-Control-Allow-Methods", "GET, POST, DELETE, OPTIONS"},
      {"Access-Control-Expose-Headers", "x-request-id, retry-after"},
      {"Access-Control-Max-Age", "600"}};
}

std::string Access::partition(const HttpRequest& request) const {
  if (options_.api_keys.empty()) return {};
  const std::string_view key = given_key(request);
  // A digest, since what is kept may outlive the server, and the order of its keys.
  return "key " + sha256_hex(std::as_bytes(std::span(key))) + " ";
}

}  // namespace fathom
