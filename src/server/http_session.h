// Inside of http_server.h: the server's state and one connection. Only http_*.cc include this, and
// with it Boost.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "server/http_server.h"

namespace fathom {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;
using tcp = asio::ip::tcp;
using TlsStream = beast::ssl_stream<beast::tcp_stream>;

// A connection, as the server sees it.
class Connection {
 public:
  virtual ~Connection() = default;
  virtual void close_if_idle() = 0;
  virtual void close() = 0;
};

struct HttpServer::State : std::enable_shared_from_this<HttpServer::State> {
  State(HttpServerOptions o, HttpHandler h, HttpErrorBody e, HttpHeadCheck c)
      : options(std::move(o)),
        handler(std::move(h)),
        error_body(std::move(e)),
        head_check(std::move(c)),
        handlers(static_cast<size_t>(options.n_handler_threads)) {}

  Status listen();
  void accept();
  void accepted(error_code error, tcp::socket socket);
  void add(const std::shared_ptr<Connection>& connection);
  void remove(Connection* connection);
  std::vector<std::shared_ptr<Connection>> connections();

  HttpServerOptions options;
  HttpHandler handler;
  HttpErrorBody error_body;
  HttpHeadCheck head_check;
  asio::io_context io{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};
  asio::ssl::context tls{asio::ssl::context::tls_server};
  tcp::acceptor acceptor{io};
  asio::steady_timer pause{io};
  asio::thread_pool handlers;
  std::thread thread;
  std::atomic<bool> draining{false};

  mutable std::mutex mutex;
  std::condition_variable closed;  // a connection was
  std::map<Connection*, std::weak_ptr<Connection>> open;
};

// A request's head as the handler sees it.
std::shared_ptr<HttpRequest> request_of(const http::request_header<>& head,
                                        const std::string& client);
HttpResponse error_answer(const HttpServer::State& server, int status, std::string_view message);
// What is answered to bytes that the parser refuses.
HttpResponse refusal_for(error_code error, const HttpServer::State& server);

// Reads what a client still sends and forgets it: a socket that is closed with unread bytes resets
// the connection, and the client may lose the answer.
class Discard {
 public:
  // Until the client ends, its bytes or the stream's time are used up; then done(). owner keeps
  // socket, this and whatever done() needs.
  void run(beast::tcp_stream& socket, int64_t bytes_max, std::shared_ptr<void> owner,
           std::function<void()> done);

 private:
  void read(beast::tcp_stream& socket, std::shared_ptr<void> owner);
  std::vector<char> bytes_;
  int64_t n_left_ = 0;
  std::function<void()> done_;
};

// One connection: reads a request, hands it to the handler, writes the answer, reads the next. All
// of it runs on the one thread of io; replies come in through post().
template <typename Stream>
class Session final : public Connection, public std::enable_shared_from_this<Session<Stream>> {
 public:
  Session(std::shared_ptr<HttpServer::State> server, Stream stream, std::string client)
      : server_(std::move(server)),
        stream_(std::move(stream)),
        client_(std::move(client)),
        linger_(server_->io),
        quiet_timer_(server_->io) {}
  ~Session() override { server_->remove(this); }

  void begin();
  void close_if_idle() override;
  void close() override;

  // What a reply does, on the thread of io.
  void head(uint64_t number, HttpResponse response, bool streams);
  void piece(uint64_t number, std::string text, bool last);
  void let_go(uint64_t number);
  void expect_events(uint64_t number, HttpResponse head);
  void when_closed(uint64_t number, std::function<void()> f);
  asio::io_context& io() { return server_->io; }

 private:
  using Parser = http::request_parser<http::string_body>;
  beast::tcp_stream& socket() { return beast::get_lowest_layer(stream_); }

  void handshaken(error_code error);
  void next_request();
  void read_more();
  void on_read(error_code error, size_t n);
  bool parse();
  bool refuse_by_head();
  void hand_over();
  void refuse(HttpResponse response);
  void start_write();
  void on_written(error_code error, size_t n);
  void answered();
  void wait_while_quiet();
  void gone();
  void shut();
  void on_shut(error_code error);
  void discard();
  void close_socket();

  std::shared_ptr<HttpServer::State> server_;
  Stream stream_;
  std::string client_;
  asio::steady_timer linger_, quiet_timer_;
  Discard discard_;
  beast::flat_buffer input_;
  std::optional<Parser> parser_;

  enum class At : uint8_t { kIdle, kReading, kAnswering, kClosed } at_ = At::kIdle;
  // A read, a write of the socket is under way; all is said, and the client has not ended yet.
  bool reading_ = false, writing_ = false, lingers_ = false;
  bool is_head_ = false;  // of the request at hand: only the head of the answer is sent
  bool keep_alive_ = false;
  bool chunked_ = false, begun_ = false, ended_ = false;
  unsigned version_ = 11;
  uint64_t number_ = 0;  // of the request at hand: late replies of earlier ones do nothing
  std::deque<std::string> output_;
  int64_t unsent_ = 0;
  std::function<void()> on_close_;
  // Of a stream that is expected: its head, and whether something was said since quiet_timer_
  // began.
  std::optional<HttpResponse> quiet_head_;
  bool spoke_ = false, begun_quietly_ = false;
};

extern template class Session<beast::tcp_stream>;
extern template class Session<TlsStream>;

}  // namespace fathom
