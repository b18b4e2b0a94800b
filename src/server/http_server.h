// HTTP/1.1 over TCP, with TLS if asked: connections, limits, timeouts, streams. What is asked and
// answered is the handler's. The one adapter to the library that does it (Boost.Beast).
//
// Every connection is bounded: header block, body, time for each of them, time for a client to take
// what is written to it, requests at once. A client that goes away is noticed while its answer is
// being made (HttpReply::on_close).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace fathom {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method;  // "GET"
  std::string path;    // without what stands after '?', as sent (server/percent.h)
  std::string query;   // what stands after '?'
  HttpHeaders headers;
  std::string body;
  std::string client;  // address, for the log

  // The value of the first header of that name, in any case; empty if there is none.
  std::string_view header(std::string_view name) const;
  int64_t n_headers(std::string_view name) const;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  HttpHeaders headers;
  std::string body;
};

// Where an answer goes. All functions may be called from any thread; after the client has gone they
// do nothing. An object that is let go before it has answered closes the connection.
class HttpReply {
 public:
  virtual ~HttpReply() = default;
  virtual void send(HttpResponse response) = 0;
  // A body of unknown length: begin() once, then pieces, then end().
  virtual void begin(HttpResponse head) = 0;
  virtual void write(std::string piece) = 0;
  virtual void end() = 0;
  // The answer will be a stream of server-sent events with this head, and may take its time: from
  // now on a comment is sent whenever nothing was said for a while, so that nobody on the way takes
  // the connection for dead. If that began the answer, begin() finds it done, and what is given to
  // send() becomes an event called error.
  virtual void expect_events(HttpResponse head) = 0;
  // Calls f, on any thread, once the client has gone before the answer's end; at once if it has.
  virtual void on_close(std::function<void()> f) = 0;
};

struct HttpServerOptions {
  std::string host = "127.0.0.1";
  int port = 8080;                       // 0: any that is free
  std::string tls_certificate, tls_key;  // PEM files; both or none
  int64_t header_bytes_max = 64 << 10;
  int64_t body_bytes_max = 16 << 20;
  int64_t connections_max = 4096;
  // What may wait to be taken by a client; more means that it does not read.
  int64_t unsent_bytes_max = 4 << 20;
  std::chrono::milliseconds idle_timeout{75'000};     // between requests
  std::chrono::milliseconds request_timeout{30'000};  // from a request's first byte to its last
  std::chrono::milliseconds write_timeout{60'000};    // for a client to take something
  std::chrono::milliseconds quiet_interval{10'000};   // between comments of a silent stream
  int n_handler_threads = 2;
};

// Refusals that the handler does not see: too large, not HTTP. Makes the body of an
// error.
using HttpErrorBody = std::function<std::string(int status, std::string_view message)>;
// Called on a thread of the server's; may take its time.
using HttpHandler =
    std::function<void(std::shared_ptr<const HttpRequest>, std::shared_ptr<HttpReply>)>;

// What a request is refused with before its body has come, if anything. Sees it without the body,
// where that is not there with the head; called on the server's one thread of connections.
using HttpHeadCheck = std::function<std::optional<HttpResponse>(const HttpRequest&)>;

class HttpServer {
 public:
  // Listens already. Errors: the address is in use or not this machine's, certificates cannot be
  // read.
  static Result<std::unique_ptr<HttpServer>> open(const HttpServerOptions& options,
                                                  HttpHandler handler, HttpErrorBody error_body,
                                                  HttpHeadCheck head_check = {});
  ~HttpServer();

  int port() const;
  // Serves on threads of its own until stop().
  void start();
  // Takes no more connections and closes those that wait for a request; answers that are being
  // written go on.
  void drain();
  int64_t n_connections() const;
  // Until there are none, or the time is over.
  void wait_until_closed(std::chrono::milliseconds limit);
  // Closes everything and ends the threads.
  void stop();

  struct State;

 private:
  explicit HttpServer(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace fathom
