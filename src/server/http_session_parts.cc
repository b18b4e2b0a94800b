// What a session does whatever its stream is.
#include "base/str_cat.h"
#include "server/http_session.h"

namespace fathom {

std::shared_ptr<HttpRequest> request_of(const http::request_header<>& head,
                                        const std::string& client) {
  auto request = std::make_shared<HttpRequest>();
  request->method = std::string(head.method_string());
  const std::string target(head.target());
  const size_t query = target.find('?');
  request->path = target.substr(0, query);
  if (query != std::string::npos) request->query = target.substr(query + 1);
  for (const auto& field : head)
    request->headers.emplace_back(std::string(field.name_string()), std::string(field.value()));
  request->client = client;
  return request;
}

HttpResponse error_answer(const HttpServer::State& server, int status, std::string_view message) {
  HttpResponse response;
  response.status = status;
  response.body = server.error_body(status, message);
  return response;
}

HttpResponse refusal_for(error_code error, const HttpServer::State& server) {
  if (error == http::error::header_limit)
    return error_answer(server, 431, "the header block is too large");
  if (error == http::error::body_limit)
    return error_answer(
        server, 413, str_cat("the body is larger than ", server.options.body_bytes_max, " bytes"));
  return error_answer(server, 400, str_cat("this is not a request in HTTP/1.1: ", error.message()));
}

void Discard::run(beast::tcp_stream& socket, int64_t bytes_max, std::shared_ptr<void> owner,
                  std::function<void()> done) {
  bytes_.resize(64 << 10);
  n_left_ = bytes_max;
  done_ = std::move(done);
  read(socket, std::move(owner));
}

void Discard::read(beast::tcp_stream& socket, std::shared_ptr<void> owner) {
  socket.async_read_some(asio::buffer(bytes_), [this, &socket, owner = std::move(owner)](
                                                   error_code error, size_t n) mutable {
    n_left_ -= static_cast<int64_t>(n);
    if (error || n_left_ <= 0) {
      done_();
    } else {
      read(socket, std::move(owner));
    }
  });
}

}  // namespace fathom
