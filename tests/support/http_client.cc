#include "tests/support/http_client.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/check.h"

namespace fathom::test {

namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

}  // namespace

std::string HttpAnswer::header(std::string_view name) const {
  for (const auto& [key, value] : headers)
    if (key == name) return value;
  return "";
}

Json HttpAnswer::json() const {
  Result<Json> parsed = parse_json(body);
  return parsed.ok() ? std::move(parsed).value() : Json();
}

std::vector<Json> HttpAnswer::events() const {
  std::vector<Json> out;
  bool done = false;
  std::string_view rest = body;
  while (!rest.empty()) {
    const size_t end = rest.find("\n\n");
    const std::string_view event = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 2);
    EXPECT_TRUE(event.starts_with("data: ")) << event;
    EXPECT_FALSE(done) << "an event after [DONE]: " << event;
    if (event == "data: [DONE]") {
      done = true;
      continue;
    }
    Result<Json> json = parse_json(event.substr(6));
    EXPECT_TRUE(json.ok()) << event;
    if (json.ok()) out.push_back(std::move(json).value());
  }
  EXPECT_TRUE(done) << "no [DONE]: " << body.substr(0, 500);
  return out;
}

HttpConnection::HttpConnection(int port, std::chrono::seconds limit) {
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  FATHOM_CHECK(fd_ >= 0, "no socket");
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const timeval time = {.tv_sec = limit.count(), .tv_usec = 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time));
  ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time));
  if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) close();
}

HttpConnection::~HttpConnection() { close(); }

void HttpConnection::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

void HttpConnection::send(std::string_view bytes) {
  while (!bytes.empty() && fd_ >= 0) {
    const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

bool HttpConnection::fill() {
  char bytes[16384];
  const ssize_t n = fd_ < 0 ? 0 : ::recv(fd_, bytes, sizeof(bytes), 0);
  if (n <= 0) return false;
  buffer_.append(bytes, static_cast<size_t>(n));
  return true;
}

std::string HttpConnection::read_some() {
  if (buffer_.empty()) fill();
  return std::exchange(buffer_, "");
}

std::string HttpConnection::line() {
  size_t end = 0;
  while ((end = buffer_.find("\r\n")) == std::string::npos)
    if (!fill()) return std::exchange(buffer_, "");
  std::string out = buffer_.substr(0, end);
  buffer_.erase(0, end + 2);
  return out;
}

HttpAnswer HttpConnection::answer(bool has_body) {
  HttpAnswer out;
  std::string first = line();
  if (first == "HTTP/1.1 100 Continue") {
    line();
    first = line();
  }
  if (!first.starts_with("HTTP/1.") || first.size() < 12) return out;
  out.status = std::atoi(first.c_str() + 9);
  while (true) {
    const std::string header = line();
    if (header.empty()) break;
    const size_t colon = header.find(": ");
    if (colon != std::string::npos)
      out.headers.emplace_back(lower(header.substr(0, colon)), header.substr(colon + 2));
  }
  const auto take = [&](size_t n) {
    while (buffer_.size() < n && fill()) {
    }
    const size_t there = std::min(n, buffer_.size());
    out.body += buffer_.substr(0, there);
    buffer_.erase(0, there);
    return there == n;
  };
  if (!has_body || out.status == 204) {
    out.complete = true;
  } else if (out.header("transfer-encoding") == "chunked") {
    while (true) {
      const std::string size = line();
      if (size.empty()) return out;
      const auto n = static_cast<size_t>(std::strtoull(size.c_str(), nullptr, 16));
      if (!take(n)) return out;
      line();
      if (n == 0) break;
    }
    out.complete = true;
  } else if (!out.header("content-length").empty()) {
    out.complete = take(static_cast<size_t>(std::atoll(out.header("content-length").c_str())));
  } else {
    while (fill()) {
    }
    out.body = std::exchange(buffer_, "");
    out.complete = true;
  }
  return out;
}

std::string http_request(std::string_view method, std::string_view path, std::string_view body,
                         const HttpFields& headers) {
  std::string out = str_cat(method, " ", path, " HTTP/1.1\r\n");
  bool has_host = false, has_type = false, has_length = false;
  for (const auto& [name, value] : headers) {
    str_append(out, name, ": ", value, "\r\n");
    has_host = has_host || lower(name) == "host";
    has_type = has_type || lower(name) == "content-type";
    has_length =
        has_length || lower(name) == "content-length" || lower(name) == "transfer-encoding";
  }
  if (!has_host) out += "Host: localhost\r\n";
  if (!body.empty() && !has_type) out += "Content-Type: application/json\r\n";
  if (!has_length) str_append(out, "Content-Length: ", body.size(), "\r\n");
  out += "\r\n";
  out += body;
  return out;
}

HttpAnswer http_ask(int port, std::string_view method, std::string_view path, std::string_view body,
                    const HttpFields& headers) {
  HttpConnection connection(port);
  connection.send(http_request(method, path, body, headers));
  return connection.answer(method != "HEAD");
}

}  // namespace fathom::test
