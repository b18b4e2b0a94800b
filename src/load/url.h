// Where a server of the OpenAI API is: the base that clients are given.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace fathom {

struct Url {
  bool tls = false;
  std::string host;  // a name or an address, without brackets
  int port = 0;
  std::string base;  // what paths begin with, no slash at its end: "/v1"

  // "http://[::1]:8080", the port left out where it is the scheme's own.
  std::string origin() const;
  // "[::1]:8080": what the Host header says.
  std::string authority() const;
};

// "http://127.0.0.1:8080", "https://example.org/api/v1/". Without a path it is /v1; with one it is
// taken as given, as the clients' base_url is. Without a scheme: http.
Result<Url> parse_url(std::string_view text);

}  // namespace fathom
