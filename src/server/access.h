// Who may ask: keys, hosts, origins (docs/serving.md).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "server/api_error.h"
#include "server/http_server.h"

namespace fathom {

struct AccessOptions {
  std::vector<std::string> api_keys;  // none: everyone may
  std::vector<std::string> origins;   // pages of these origins may ask; "*": all
  bool loopback_only = true;          // then the Host header must name this machine
};

class Access {
 public:
  explicit Access(AccessOptions options) : options_(std::move(options)) {}

  // The key by "Authorization: Bearer KEY" or "x-api-key: KEY"; compared in a time that does not
  // depend on where they differ.
  std::optional<ApiError> check_key(const HttpRequest& request) const;
  // A page of another site, or a name that another site gave to this machine's address.
  std::optional<ApiError> check_origin(const HttpRequest& request) const;
  // For answers to pages of allowed origins.
  HttpHeaders cors_headers(const HttpRequest& request) const;
  // Divides what is kept between requests: empty without keys.
  std::string partition(const HttpRequest& request) const;

 private:
  bool is_allowed(std::string_view origin) const;
  AccessOptions options_;
};

}  // namespace fathom
