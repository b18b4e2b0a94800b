// A server of the OpenAI API for tests, in this process, that says what the test gives it, byte for
// byte; and the answers that it is given most often.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"
#include "load/load_run.h"

namespace fathom {

enum class Then { kKeep, kClose, kHang };
struct Script {
  std::string answer;
  Then then = Then::kKeep;
  bool byte_by_byte = false;
};

// Answers the n-th request with the n-th script, those after the last with the last.
class FakeServer {
 public:
  explicit FakeServer(std::vector<Script> scripts) : scripts_(std::move(scripts)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const raw = reinterpret_cast<sockaddr*>(&address);
    FATHOM_CHECK(::bind(listener_, raw, sizeof(address)) == 0, "no port");
    FATHOM_CHECK(::listen(listener_, 64) == 0, "no listener");
    socklen_t size = sizeof(address);
    ::getsockname(listener_, raw, &size);
    server_.url.host = "127.0.0.1";
    server_.url.port = ntohs(address.sin_port);
    server_.url.base = "/v1";
    server_.model = "m";
    acceptor_ = std::thread([this] { accept(); });
  }
  ~FakeServer() {
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    {
      const std::lock_guard lock(mutex_);
      for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
    }
    for (std::thread& thread : threads_) thread.join();
    ::close(listener_);
  }
  const LoadServer& server() const { return server_; }
  int64_t n_connections() const { return n_connections_; }
  std::vector<std::string> requests() {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  void accept() {
    while (true) {
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      ++n_connections_;
      const std::lock_guard lock(mutex_);
      open_.push_back(fd);
      threads_.emplace_back([this, fd] {
        serve(fd);
        const std::lock_guard end_lock(mutex_);
        open_.erase(std::find(open_.begin(), open_.end(), fd));
        ::close(fd);
      });
    }
  }
  // The whole request, or nothing if the client has gone.
  static std::string receive(int fd) {
    std::string text;
    char bytes[4096];
    while (true) {
      const size_t end = text.find("\r\n\r\n");
      const size_t length = text.find("Content-Length: ");
      const size_t body =
          length < end ? static_cast<size_t>(std::atoi(text.c_str() + length + 16)) : 0;
      if (end != std::string::npos && text.size() >= end + 4 + body) return text;
      const ssize_t n = ::recv(fd, bytes, sizeof(bytes), 0);
      if (n <= 0) return "";
      text.append(bytes, static_cast<size_t>(n));
    }
  }
  void serve(int fd) {
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    while (true) {
      std::string request = receive(fd);
      if (request.empty()) return;
      Script script;
      {
        const std::lock_guard lock(mutex_);
        script = scripts_[std::min(requests_.size(), scripts_.size() - 1)];
        requests_.push_back(std::move(request));
      }
      const size_t step = script.byte_by_byte ? 1 : std::max<size_t>(1, script.answer.size());
      for (size_t i = 0; i < script.answer.size(); i += step)
        if (::send(fd, script.answer.data() + i, step, MSG_NOSIGNAL) <= 0) return;
      if (script.then == Then::kClose) return;
      char byte = 0;
      if (script.then == Then::kHang) {
        while (::recv(fd, &byte, 1, 0) > 0) {
        }
        return;
      }
    }
  }

  std::vector<Script> scripts_;
  int listener_ = -1;
  LoadServer server_;
  std::thread acceptor_;
  std::vector<std::thread> threads_;
  std::vector<int> open_;
  std::mutex mutex_;
  std::vector<std::string> requests_;
  std::atomic<int64_t> n_connections_{0};
};

inline std::string chunk(const std::string& text) {
  char size[20];
  std::snprintf(size, sizeof(size), "%zx\r\n", text.size());
  return size + text + "\r\n";
}

inline const std::string kStreamHead =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: "
    "chunked\r\n\r\n";

inline std::string words(int n) {
  std::string out;
  for (int i = 0; i < n; ++i)
    out += chunk(R"(data: {"choices":[{"delta":{"content":"w"}}]})"
                 "\n\n");
  return out;
}
inline std::string usage(int prompt, int n) {
  return chunk(
      "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
      "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":" +
      std::to_string(prompt) + ",\"completion_tokens\":" + std::to_string(n) +
      "}}\n\ndata: [DONE]\n\n");
}
inline std::string good(int prompt = 7, int n = 3) {
  return kStreamHead + words(n) + usage(prompt, n) + "0\r\n\r\n";
}
inline std::string plain(const std::string& status, const std::string& body,
                         const std::string& more = "") {
  return "HTTP/1.1 " + status +
         "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n" + more + "\r\n" + body;
}

}  // namespace fathom
