// Inside of http_server.h: the handler's end of an answer. What it is told goes to the session's
// thread.
#pragma once

#include <boost/asio/post.hpp>
#include <memory>
#include <utility>

#include "server/http_session.h"

namespace fathom {

template <typename Stream>
class Reply final : public HttpReply {
 public:
  Reply(std::shared_ptr<Session<Stream>> session, uint64_t number)
      : session_(std::move(session)), number_(number) {}
  ~Reply() override {
    post([n = number_](auto& session) { session.let_go(n); });
  }
  void send(HttpResponse response) override {
    post([n = number_, r = std::move(response)](auto& session) mutable {
      session.head(n, std::move(r), /*streams=*/false);
    });
  }
  void begin(HttpResponse head) override {
    post([n = number_, r = std::move(head)](auto& session) mutable {
      session.head(n, std::move(r), /*streams=*/true);
    });
  }
  void write(std::string piece) override {
    if (piece.empty()) return;  // an empty chunk would end the body
    post([n = number_, p = std::move(piece)](auto& session) mutable {
      session.piece(n, std::move(p), /*last=*/false);
    });
  }
  void end() override {
    post([n = number_](auto& session) { session.piece(n, {}, /*last=*/true); });
  }
  void expect_events(HttpResponse head) override {
    post([n = number_, r = std::move(head)](auto& session) mutable {
      session.expect_events(n, std::move(r));
    });
  }
  void on_close(std::function<void()> f) override {
    post([n = number_, f = std::move(f)](auto& session) mutable {
      session.when_closed(n, std::move(f));
    });
  }

 private:
  template <typename F>
  void post(F f) {
    asio::post(session_->io(), [session = session_, f = std::move(f)]() mutable { f(*session); });
  }
  std::shared_ptr<Session<Stream>> session_;
  uint64_t number_;
};

}  // namespace fathom
