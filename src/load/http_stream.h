// The client's side of HTTP/1.1, for many answers at once that come in pieces: the one adapter to
// Boost.Asio, Boost.Beast and OpenSSL on this side. Connections are kept and used again. Everything
// runs on the thread that calls run(), so that hundreds of streams cost no threads.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "load/url.h"

namespace fathom {

inline constexpr int64_t kAnswerHeaderBytesMax = int64_t{64} << 10;
inline constexpr int64_t kAnswerBodyBytesMax = int64_t{256} << 20;

struct HttpCall {
  Url url;
  std::string method = "GET";
  std::string target;                                             // "/v1/models"
  std::vector<std::pair<std::string, std::string>> headers = {};  // host and length are added
  std::string body = {};
  double timeout_s = 60;  // for all of it, from start() on
};

struct HttpAnswerHead {
  int status = 0;
  std::string content_type;
  std::string retry_after;
};

enum class HttpEnd : uint8_t {
  kComplete,  // the answer came to the end that its head stated
  kCut,       // the connection ended first
  kTimeout,
  kUnreachable,  // no connection: name, port, TLS
  kMalformed,    // no HTTP/1.1, or larger than allowed
  kCancelled,    // stop(), or the receiver wanted no more
};

// What a receiver wants after it got a piece.
enum class HttpWant : uint8_t {
  kMore,
  kEnd,  // it has all it needs: the end may come within a second, so that the connection can stay
  kNothing,
};

// All calls on the thread of run(); on_end is the last, and comes exactly once.
class HttpReceiver {
 public:
  virtual ~HttpReceiver() = default;
  virtual void on_head(const HttpAnswerHead& head) = 0;
  virtual HttpWant on_body(std::string_view piece) = 0;
  // why: for people, empty if complete.
  virtual void on_end(HttpEnd end, const std::string& why) = 0;
};

struct HttpClientOptions {
  bool verify = true;  // certificates of https, by the system's authorities or SSL_CERT_FILE
};

class HttpClient {
 public:
  using Clock = std::chrono::steady_clock;

  explicit HttpClient(const HttpClientOptions& options = {});
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Never calls the receiver from within.
  void start(HttpCall call, std::shared_ptr<HttpReceiver> receiver);
  void at(Clock::time_point when, std::function<void()> f);
  // Every call ends with kCancelled, and nothing waits any more.
  void stop();
  // Until nothing is left to do. go_on is asked ten times a second; false: stop().
  void run(const std::function<bool()>& go_on = {});

  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace fathom
