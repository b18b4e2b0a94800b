#include "server/http_session.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <cstdio>

#include "base/log.h"
#include "base/str_cat.h"
#include "server/http_head.h"
#include "server/http_reply.h"

namespace fathom {

namespace {

constexpr int64_t kReadBytes = 16 << 10;
// How long a client may keep a connection open that has been closed on this side.
constexpr auto kLinger = std::chrono::seconds(2);

constexpr bool is_tls(const beast::tcp_stream*) { return false; }
constexpr bool is_tls(const TlsStream*) { return true; }

}  // namespace

template <typename Stream>
void Session<Stream>::begin() {
  server_->add(this->shared_from_this());
  socket().expires_after(server_->options.request_timeout);
  if constexpr (is_tls(static_cast<Stream*>(nullptr))) {
    stream_.async_handshake(
        asio::ssl::stream_base::server,
        beast::bind_front_handler(&Session::handshaken, this->shared_from_this()));
  } else {
    handshaken({});
  }
}

template <typename Stream>
void Session<Stream>::handshaken(error_code error) {
  error ? gone() : next_request();
}

template <typename Stream>
void Session<Stream>::next_request() {
  if (server_->draining) {
    shut();
    return;
  }
  at_ = At::kIdle;
  ++number_;
  begun_ = ended_ = chunked_ = begun_quietly_ = false;
  quiet_head_.reset();
  // A read that is under way from the last request on has no limit of its own.
  quiet_timer_.expires_after(server_->options.idle_timeout);
  quiet_timer_.async_wait([weak = this->weak_from_this(), number = number_](error_code error) {
    const auto self = weak.lock();
    if (!error && self && number == self->number_ && self->at_ == At::kIdle) self->gone();
  });
  on_close_ = nullptr;
  parser_.emplace();
  parser_->eager(true);
  parser_->header_limit(static_cast<uint32_t>(server_->options.header_bytes_max));
  parser_->body_limit(static_cast<uint64_t>(server_->options.body_bytes_max));
  if (input_.size() > 0 && parse()) return;
  read_more();
}

template <typename Stream>
void Session<Stream>::read_more() {
  if (reading_ || at_ == At::kClosed) return;
  if (at_ == At::kIdle) {
    socket().expires_after(server_->options.idle_timeout);
  } else if (at_ == At::kAnswering && !writing_) {
    socket().expires_never();
  }
  reading_ = true;
  stream_.async_read_some(input_.prepare(kReadBytes),
                          beast::bind_front_handler(&Session::on_read, this->shared_from_this()));
}

template <typename Stream>
void Session<Stream>::on_read(error_code error, size_t n) {
  reading_ = false;
  if (at_ == At::kClosed) {
    if (error) {
      linger_.cancel();
    } else if (lingers_) {
      discard();
    }
    return;
  }
  if (error) {
    gone();  // or out of time: the stream has closed itself
    return;
  }
  input_.commit(n);
  if (at_ == At::kAnswering) {
    // A request that was sent ahead waits; a client that sends without end does not get more room.
    if (static_cast<int64_t>(input_.size()) <= server_->options.header_bytes_max) read_more();
    return;
  }
  if (!parse()) read_more();
}

// True when nothing more is to be read now.
template <typename Stream>
bool Session<Stream>::parse() {
  if (at_ == At::kIdle) {
    at_ = At::kReading;
    socket().expires_after(server_->options.request_timeout);
  }
  bool had_header = parser_->is_header_done();
  while (input_.size() > 0 && !parser_->is_done()) {
    error_code error;
    const size_t used = parser_->put(input_.data(), error);
    input_.consume(used);
    is_head_ = parser_->get().method() == http::verb::head;
    if (error == http::error::need_more) {
      error = {};
      if (used == 0) break;
    }
    if (error) {
      refuse(refusal_for(error, *server_));
      return true;
    }
    if (!had_header && parser_->is_header_done()) {
      had_header = true;
      if (!parser_->is_done() && refuse_by_head()) return true;
      const auto expect = parser_->get()[http::field::expect];
      if (beast::iequals(expect, "100-continue") && !parser_->is_done()) {
        output_.push_back("HTTP/1.1 100 Continue\r\n\r\n");
        start_write();
      }
    }
  }
  if (!parser_->is_done()) return false;
  hand_over();
  return true;
}

// A body that nobody would look at is not waited for.
template <typename Stream>
bool Session<Stream>::refuse_by_head() {
  if (!server_->head_check) return false;
  std::optional<HttpResponse> refusal = server_->head_check(*request_of(parser_->get(), client_));
  if (!refusal) return false;
  refuse(*std::move(refusal));
  return true;
}

template <typename Stream>
void Session<Stream>::hand_over() {
  at_ = At::kAnswering;
  auto message = parser_->release();
  auto request = request_of(message, client_);
  request->body = std::move(message.body());
  keep_alive_ = message.keep_alive();
  version_ = message.version();
  auto reply = std::make_shared<Reply<Stream>>(this->shared_from_this(), number_);
  socket().expires_never();
  asio::post(server_->handlers, [server = server_, request, reply = std::move(reply)]() mutable {
    try {
      server->handler(std::move(request), reply);
    } catch (const std::exception& error) {  // memory, most likely
      log_message(LogLevel::kError, str_cat("a request failed: ", error.what()));
    }  // without an answer the reply says so
  });
  read_more();  // so that a client who goes away is noticed
}

// Answers what the handler cannot, and closes: where the next request begins is not known.
template <typename Stream>
void Session<Stream>::refuse(HttpResponse response) {
  at_ = At::kAnswering;
  keep_alive_ = false;
  version_ = 11;
  head(number_, std::move(response), /*streams=*/false);
}

template <typename Stream>
void Session<Stream>::head(uint64_t number, HttpResponse response, bool streams) {
  if (number != number_ || at_ != At::kAnswering) return;
  if (begun_quietly_ && !streams && !ended_) {
    piece(number, str_cat("event: error\ndata: ", response.body, "\n\n"), /*last=*/false);
    piece(number, {}, /*last=*/true);
  }
  if (begun_) return;
  begun_ = true;
  chunked_ = streams && version_ == 11;
  if (streams && version_ != 11) keep_alive_ = false;  // the end of the connection ends the body
  if (server_->draining) keep_alive_ = false;
  std::string text = http_head(
      response, {.http_1_0 = version_ != 11, .streams = streams, .keep_alive = keep_alive_});
  if (!streams && !is_head_) text += response.body;
  ended_ = !streams || is_head_;
  unsent_ += static_cast<int64_t>(text.size());
  output_.push_back(std::move(text));
  start_write();
}

template <typename Stream>
void Session<Stream>::piece(uint64_t number, std::string text, bool last) {
  if (number != number_ || at_ != At::kAnswering || !begun_ || ended_) return;
  spoke_ = true;
  if (last) {
    ended_ = true;
    if (chunked_) output_.push_back("0\r\n\r\n");
  } else if (chunked_) {
    char size[20];
    std::snprintf(size, sizeof(size), "%zx\r\n", text.size());
    output_.push_back(size + text + "\r\n");
  } else {
    output_.push_back(std::move(text));
  }
  if (!output_.empty()) unsent_ += static_cast<int64_t>(output_.back().size());
  if (unsent_ > server_->options.unsent_bytes_max) {
    gone();
    return;
  }
  if (output_.empty() && !writing_) {
    answered();
  } else {
    start_write();
  }
}

template <typename Stream>
void Session<Stream>::expect_events(uint64_t number, HttpResponse head) {
  if (number != number_ || at_ != At::kAnswering || ended_) return;
  quiet_head_ = std::move(head);
  spoke_ = false;
  wait_while_quiet();
}

template <typename Stream>
void Session<Stream>::wait_while_quiet() {
  quiet_timer_.expires_after(server_->options.quiet_interval);
  quiet_timer_.async_wait([weak = this->weak_from_this(), number = number_](error_code error) {
    const auto self = weak.lock();
    if (error || !self || number != self->number_ || self->at_ != At::kAnswering || self->ended_)
      return;
    if (!self->spoke_) {
      if (!self->begun_) {
        self->head(number, *self->quiet_head_, /*streams=*/true);
        self->begun_quietly_ = true;
      }
      self->piece(number, ": keep-alive\n\n", /*last=*/false);
    }
    self->spoke_ = false;
    self->wait_while_quiet();
  });
}

// A reply that nobody holds any more and that has no end: the client must not take it for whole.
template <typename Stream>
void Session<Stream>::let_go(uint64_t number) {
  if (number != number_ || at_ != At::kAnswering || ended_) return;
  if (begun_) {
    gone();
  } else {
    refuse(error_answer(*server_, 500, "the request was not answered"));
  }
}

template <typename Stream>
void Session<Stream>::when_closed(uint64_t number, std::function<void()> f) {
  if (number != number_ || at_ == At::kClosed) {
    f();
  } else if (at_ == At::kAnswering && !ended_) {
    on_close_ = std::move(f);
  }
}

template <typename Stream>
void Session<Stream>::start_write() {
  if (writing_ || output_.empty() || at_ == At::kClosed) return;
  writing_ = true;
  socket().expires_after(server_->options.write_timeout);
  asio::async_write(stream_, asio::buffer(output_.front()),
                    beast::bind_front_handler(&Session::on_written, this->shared_from_this()));
}

template <typename Stream>
void Session<Stream>::on_written(error_code error, size_t) {
  writing_ = false;
  if (at_ == At::kClosed) return;
  if (error) {
    gone();
    return;
  }
  unsent_ = std::max<int64_t>(0, unsent_ - static_cast<int64_t>(output_.front().size()));
  output_.pop_front();
  if (!output_.empty()) {
    start_write();
  } else if (at_ == At::kAnswering && ended_) {
    answered();
  } else if (at_ == At::kAnswering) {
    socket().expires_never();
  }
}

template <typename Stream>
void Session<Stream>::answered() {
  on_close_ = nullptr;
  if (keep_alive_) {
    next_request();
  } else {
    shut();
  }
}

// The client has gone, or must go.
template <typename Stream>
void Session<Stream>::gone() {
  if (at_ == At::kClosed) return;
  at_ = At::kClosed;
  close_socket();
  if (auto f = std::exchange(on_close_, nullptr)) f();
}

// Everything is said: ends the connection so that the last bytes arrive.
template <typename Stream>
void Session<Stream>::shut() {
  if (at_ == At::kClosed) return;
  at_ = At::kClosed;
  // Whatever the client does, or does not.
  linger_.expires_after(kLinger + std::chrono::seconds(3));
  linger_.async_wait([self = this->shared_from_this()](error_code error) {
    if (!error) self->close_socket();
  });
  socket().expires_after(std::chrono::seconds(5));
  if constexpr (is_tls(static_cast<Stream*>(nullptr))) {
    stream_.async_shutdown(beast::bind_front_handler(&Session::on_shut, this->shared_from_this()));
  } else {
    on_shut({});
  }
}

template <typename Stream>
void Session<Stream>::on_shut(error_code) {
  error_code ignored;
  socket().socket().shutdown(tcp::socket::shutdown_send, ignored);
  // Until the client closes too, or for a while.
  linger_.cancel();
  linger_.expires_after(kLinger);
  linger_.async_wait([self = this->shared_from_this()](error_code error) {
    if (!error) self->close_socket();
  });
  lingers_ = true;
  if (!reading_) discard();
}

template <typename Stream>
void Session<Stream>::discard() {
  discard_.run(socket(), 2 * server_->options.body_bytes_max, this->shared_from_this(),
               [this] { close_socket(); });
}

template <typename Stream>
void Session<Stream>::close_socket() {
  error_code ignored;
  linger_.cancel();
  socket().socket().close(ignored);
  socket().cancel();
}

template <typename Stream>
void Session<Stream>::close_if_idle() {
  asio::post(io(), [self = this->shared_from_this()] {
    if (self->at_ == At::kIdle) self->gone();
  });
}

template <typename Stream>
void Session<Stream>::close() {
  asio::post(io(), [self = this->shared_from_this()] {
    self->gone();
    self->close_socket();  // also of one that is on its way out
  });
}

template class Session<beast::tcp_stream>;
template class Session<TlsStream>;

}  // namespace fathom
