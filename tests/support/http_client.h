// HTTP as tests need it: whole requests, and bytes sent and read as they are.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/json.h"

namespace fathom::test {

struct HttpAnswer {
  int status = 0;  // 0: the connection was closed without one
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;                                          // chunks joined
  bool complete = false;

  std::string header(std::string_view name) const;
  Json json() const;  // null if the body is none
  // The documents of a stream of events; "[DONE]" must be the last and is left out.
  std::vector<Json> events() const;
};

class HttpConnection {
 public:
  // To 127.0.0.1; a test that waits longer than the limit for bytes gets none.
  explicit HttpConnection(int port, std::chrono::seconds limit = std::chrono::seconds(60));
  ~HttpConnection();
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  void send(std::string_view bytes);
  // The next answer, to its end. has_body: false for answers to HEAD.
  HttpAnswer answer(bool has_body = true);
  // Some bytes; empty at the end or when none came in time.
  std::string read_some();
  void close();

 private:
  bool fill();
  std::string line();

  int fd_ = -1;
  std::string buffer_;
};

using HttpFields = std::vector<std::pair<std::string, std::string>>;

// The text of a request; a body that is not empty is said to be JSON, unless headers say otherwise.
std::string http_request(std::string_view method, std::string_view path, std::string_view body = "",
                         const HttpFields& headers = {});
// One request on a connection of its own.
HttpAnswer http_ask(int port, std::string_view method, std::string_view path,
                    std::string_view body = "", const HttpFields& headers = {});

}  // namespace fathom::test
