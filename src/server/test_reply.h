// A reply that keeps what it is told, for tests of answers.
#pragma once

#include <string>
#include <vector>

#include "server/http_server.h"

namespace fathom {

struct RecordedReply final : public HttpReply {
  void send(HttpResponse response) override { body += response.body; }
  void begin(HttpResponse) override {}
  void write(std::string piece) override { body += piece; }
  void end() override { ended = true; }
  void expect_events(HttpResponse) override {}
  void on_close(std::function<void()>) override {}

  // The names of a stream's events in order.
  std::vector<std::string> event_names() const {
    std::vector<std::string> out;
    for (size_t at = body.find("event: "); at != std::string::npos;
         at = body.find("event: ", at + 1))
      out.push_back(body.substr(at + 7, body.find('\n', at) - at - 7));
    return out;
  }

  std::string body;
  bool ended = false;
};

}  // namespace fathom
