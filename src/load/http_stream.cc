#include "load/http_stream.h"

#include <algorithm>
#include <array>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http.hpp>
#include <list>
#include <map>
#include <optional>
#include <set>

#include "base/str_cat.h"
#include "load/values.h"

namespace fathom {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = HttpClient::Clock;

namespace {

constexpr size_t kReadBytes = 16 << 10;
constexpr auto kConnectLimit = std::chrono::seconds(10);
constexpr auto kEndLimit = std::chrono::seconds(1);
// Servers close what idles; some (uvicorn) after five seconds.
constexpr auto kIdleLimit = std::chrono::seconds(2);
constexpr size_t kIdleMax = 4096;
constexpr auto kAskEvery = std::chrono::milliseconds(100);

// A connection, with or without TLS. One operation of each kind at a time.
struct Connection {
  explicit Connection(asio::io_context& io) : socket(io) {}

  template <typename Handler>
  void write(std::string_view bytes, Handler handler) {
    const auto buffer = asio::buffer(bytes.data(), bytes.size());
    tls ? asio::async_write(*tls, buffer, std::move(handler))
        : asio::async_write(socket, buffer, std::move(handler));
  }
  template <typename Handler>
  void read_some(Handler handler) {
    const auto buffer = asio::buffer(input);
    tls ? tls->async_read_some(buffer, std::move(handler))
        : socket.async_read_some(buffer, std::move(handler));
  }
  void close() {
    error_code ignored;
    socket.close(ignored);
  }

  tcp::socket socket;
  std::optional<asio::ssl::stream<tcp::socket&>> tls;
  std::array<char, kReadBytes> input;
};

struct IdleConnection {
  std::string origin;
  std::shared_ptr<Connection> connection;
  Clock::time_point since;
};

class Call;

}  // namespace

struct HttpClient::State {
  std::shared_ptr<Connection> take_idle(const std::string& origin);
  void keep(const std::string& origin, std::shared_ptr<Connection> connection);

  asio::io_context io{1};
  asio::ssl::context tls{asio::ssl::context::tls_client};
  std::map<std::string, std::vector<tcp::endpoint>> addresses;  // of an origin, asked for once
  std::list<IdleConnection> idle;                               // the latest at the end
  std::set<std::shared_ptr<Call>> calls;
  std::set<std::shared_ptr<asio::steady_timer>> timers;
  bool stopped = false;
};

namespace {

// One request and its answer. Kept alive by the operations that are under way; after finish() they
// find done_ and do nothing.
class Call : public std::enable_shared_from_this<Call> {
 public:
  Call(HttpClient::State& state, HttpCall call, std::shared_ptr<HttpReceiver> receiver)
      : state_(state),
        call_(std::move(call)),
        origin_(call_.url.origin()),
        receiver_(std::move(receiver)),
        timer_(state.io) {}

  void begin();
  void cancel() { finish(HttpEnd::kCancelled, "stopped"); }

 private:
  using Parser = http::response_parser<http::string_body>;

  template <typename F>
  auto then(F f) {  // f runs only if the call has not ended meanwhile
    return [self = shared_from_this(), f](error_code error, auto&&...) {
      if (!self->done_) f(*self, error);
    };
  }
  void connect();
  void shake_hands();
  void send();
  void new_parser();
  void read();
  void received(error_code error, size_t n);
  bool parse(std::string_view bytes);
  bool deliver();
  void ended();
  void end_by(Clock::time_point when, HttpEnd end, std::string why);
  void finish(HttpEnd end, const std::string& why);
  std::string place() const { return str_cat(call_.url.host, ":", call_.url.port); }

  HttpClient::State& state_;
  HttpCall call_;
  std::string origin_;
  std::shared_ptr<HttpReceiver> receiver_;
  asio::steady_timer timer_;
  Clock::time_point deadline_;
  std::shared_ptr<Connection> connection_;
  std::string request_;
  std::optional<Parser> parser_;
  std::string input_;  // what the parser cannot take yet
  bool told_head_ = false;
  bool is_kept_ = false;  // the connection had an answer before: it may be closed by now
  bool got_bytes_ = false;
  bool done_ = false;
};

void Call::begin() {
  deadline_ = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                 std::chrono::duration<double>(call_.timeout_s));
  request_ = str_cat(call_.method, " ", call_.target, " HTTP/1.1\r\nHost: ", call_.url.authority(),
                     "\r\nUser-Agent: fathom-load\r\nAccept: */*\r\n");
  for (const auto& [name, value] : call_.headers) str_append(request_, name, ": ", value, "\r\n");
  if (call_.method != "GET") str_append(request_, "Content-Length: ", call_.body.size(), "\r\n");
  request_ += "\r\n";
  request_ += call_.body;
  connection_ = state_.take_idle(origin_);
  is_kept_ = connection_ != nullptr;
  is_kept_ ? send() : connect();
}

void Call::end_by(Clock::time_point when, HttpEnd end, std::string why) {
  timer_.expires_at(when);
  timer_.async_wait([self = shared_from_this(), end, why = std::move(why)](error_code error) {
    if (!error && !self->done_) self->finish(end, why);
  });
}

void Call::connect() {
  std::vector<tcp::endpoint>& endpoints = state_.addresses[origin_];
  if (endpoints.empty()) {
    error_code error;
    tcp::resolver resolver(state_.io);
    for (const auto& entry : resolver.resolve(call_.url.host, str_cat(call_.url.port), error))
      endpoints.push_back(entry.endpoint());
    if (error || endpoints.empty()) {
      finish(HttpEnd::kUnreachable,
             str_cat("there is no address of ", call_.url.host, ": ", error.message()));
      return;
    }
  }
  end_by(std::min(deadline_, Clock::now() + kConnectLimit), HttpEnd::kUnreachable,
         str_cat("no connection to ", place(), " in time"));
  connection_ = std::make_shared<Connection>(state_.io);
  asio::async_connect(
      connection_->socket, endpoints,
      [self = shared_from_this(), kept = connection_](error_code error, const auto&) {
        if (self->done_) return;
        if (error) {
          self->finish(HttpEnd::kUnreachable,
                       str_cat("cannot connect to ", self->place(), ": ", error.message()));
          return;
        }
        error_code ignored;
        kept->socket.set_option(tcp::no_delay(true), ignored);
        self->call_.url.tls ? self->shake_hands() : self->send();
      });
}

void Call::shake_hands() {
  auto& tls = connection_->tls.emplace(connection_->socket, state_.tls);
  // The name that the server chooses its certificate by; addresses have none.
  error_code is_no_address;
  asio::ip::make_address(call_.url.host, is_no_address);
  if (is_no_address) SSL_set_tlsext_host_name(tls.native_handle(), call_.url.host.c_str());
  tls.set_verify_callback(asio::ssl::host_name_verification(call_.url.host));
  tls.async_handshake(asio::ssl::stream_base::client, then([](Call& call, error_code error) {
                        if (!error) return call.send();
                        call.finish(HttpEnd::kUnreachable,
                                    str_cat("TLS with ", call.place(), ": ", error.message()));
                      }));
}

void Call::send() {
  end_by(deadline_, HttpEnd::kTimeout,
         str_cat("no end of the answer after ", short_number(call_.timeout_s), " s"));
  new_parser();
  // A server that refuses before it has read everything may already have answered.
  connection_->write(request_, then([](Call& call, error_code) { call.read(); }));
}

void Call::new_parser() {
  parser_.emplace();
  parser_->eager(true);
  parser_->header_limit(static_cast<uint32_t>(kAnswerHeaderBytesMax));
  parser_->body_limit(static_cast<uint64_t>(kAnswerBodyBytesMax));
}

void Call::read() {
  connection_->read_some(
      [self = shared_from_this(), kept = connection_](error_code error, size_t n) {
        if (!self->done_) self->received(error, n);
      });
}

void Call::received(error_code error, size_t n) {
  if (!error) {
    got_bytes_ = true;
    const auto connection = connection_;  // parse() may end the call
    if (parse({connection->input.data(), n})) read();
    return;
  }
  if (!got_bytes_ && is_kept_) {
    // The server has closed an idle connection just when it was used: that says nothing of it.
    connection_->close();
    is_kept_ = false;
    connect();
    return;
  }
  if (got_bytes_ && (error == asio::error::eof || error == asio::ssl::error::stream_truncated)) {
    error_code incomplete;
    parser_->put_eof(incomplete);
    if (!incomplete && parser_->is_done()) {
      ended();
      return;
    }
  }
  finish(HttpEnd::kCut, got_bytes_ ? "the connection was closed in the middle of the answer"
                                   : "the connection was closed without an answer");
}

// False when nothing more is to be read.
bool Call::parse(std::string_view bytes) {
  input_ += bytes;
  while (!input_.empty() && !parser_->is_done()) {
    error_code error;
    const size_t used = parser_->put(asio::buffer(input_), error);
    input_.erase(0, used);
    const bool waits = error == http::error::need_more;
    if (waits) error = {};
    if (static_cast<int64_t>(input_.size()) > kAnswerHeaderBytesMax + int64_t{kReadBytes})
      error = http::error::header_limit;
    if (error) {
      finish(HttpEnd::kMalformed, str_cat("no answer in HTTP/1.1: ", error.message()));
      return false;
    }
    if (!deliver()) return false;
    if (waits && used == 0) break;
  }
  if (!parser_->is_done()) return true;
  if (!input_.empty()) {
    finish(HttpEnd::kMalformed, "there are bytes after the end of the answer");
    return false;
  }
  ended();
  return false;
}

// What the parser has so far goes to the receiver. False if that ended the call.
bool Call::deliver() {
  if (!parser_->is_header_done()) return true;
  const int status = parser_->get().result_int();
  if (status < 200) {  // "continue" and the like: the answer is yet to come
    if (parser_->is_done()) new_parser();
    return true;
  }
  if (!told_head_) {
    told_head_ = true;
    const auto text = [this](http::field name) {
      const auto value = parser_->get()[name];
      return std::string(value.data(), value.size());
    };
    receiver_->on_head({status, text(http::field::content_type), text(http::field::retry_after)});
  }
  std::string& body = parser_->get().body();
  if (body.empty()) return true;
  const HttpWant want = receiver_->on_body(body);
  body.clear();
  if (want == HttpWant::kNothing) {
    finish(HttpEnd::kCancelled, "");
    return false;
  }
  if (want == HttpWant::kEnd)
    end_by(std::min(deadline_, Clock::now() + kEndLimit), HttpEnd::kCut, "no end of the answer");
  return true;
}

void Call::ended() {
  if (parser_->get().keep_alive() && !parser_->need_eof())
    state_.keep(origin_, std::exchange(connection_, nullptr));
  finish(HttpEnd::kComplete, "");
}

void Call::finish(HttpEnd end, const std::string& why) {
  if (done_) return;
  done_ = true;
  timer_.cancel();
  if (connection_) connection_->close();
  const auto self = shared_from_this();
  state_.calls.erase(self);
  const auto receiver = std::move(receiver_);
  receiver->on_end(end, why);
}

}  // namespace

std::shared_ptr<Connection> HttpClient::State::take_idle(const std::string& origin) {
  while (!idle.empty() && idle.front().since + kIdleLimit < Clock::now()) {
    idle.front().connection->close();
    idle.pop_front();
  }
  // The one that was used last: the others grow old and go.
  for (auto it = idle.rbegin(); it != idle.rend(); ++it) {
    if (it->origin != origin) continue;
    auto connection = std::move(it->connection);
    idle.erase(std::next(it).base());
    return connection;
  }
  return nullptr;
}

void HttpClient::State::keep(const std::string& origin, std::shared_ptr<Connection> connection) {
  if (idle.size() < kIdleMax) idle.push_back({origin, std::move(connection), Clock::now()});
}

HttpClient::HttpClient(const HttpClientOptions& options) : state_(std::make_unique<State>()) {
  error_code ignored;  // without authorities every certificate is refused, and that is said then
  state_->tls.set_default_verify_paths(ignored);
  state_->tls.set_verify_mode(options.verify ? asio::ssl::verify_peer : asio::ssl::verify_none,
                              ignored);
}

HttpClient::~HttpClient() = default;

void HttpClient::start(HttpCall call, std::shared_ptr<HttpReceiver> receiver) {
  auto started = std::make_shared<Call>(*state_, std::move(call), std::move(receiver));
  state_->calls.insert(started);
  asio::post(state_->io, [state = state_.get(), started] {
    state->stopped ? started->cancel() : started->begin();
  });
}

void HttpClient::at(Clock::time_point when, std::function<void()> f) {
  if (state_->stopped) return;
  auto timer = std::make_shared<asio::steady_timer>(state_->io, when);
  state_->timers.insert(timer);
  timer->async_wait([state = state_.get(), timer, f = std::move(f)](error_code error) {
    state->timers.erase(timer);
    if (!error && !state->stopped) f();
  });
}

void HttpClient::stop() {
  state_->stopped = true;
  for (const auto& timer : state_->timers) timer->cancel();
  const auto calls = state_->calls;
  for (const auto& call : calls) call->cancel();
}

void HttpClient::run(const std::function<bool()>& go_on) {
  state_->io.restart();
  state_->stopped = false;
  while (!state_->io.stopped()) {
    state_->io.run_for(kAskEvery);
    if (!state_->stopped && go_on && !go_on()) stop();
  }
}

}  // namespace fathom
