// `fathom serve` for tests: started on a free port with the embedded model, ended with the test.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/http_client.h"
#include "tests/support/running_fathom.h"
#include "tests/support/temp_dir.h"

namespace fathom::test {

class RunningServer {
 public:
  // arguments come after "serve --port 0".
  explicit RunningServer(const std::vector<std::string>& arguments = {});

  int port() const { return port_; }
  HttpAnswer ask(std::string_view method, std::string_view path, std::string_view body = "",
                 const HttpFields& headers = {}) const {
    return http_ask(port_, method, path, body, headers);
  }
  HttpAnswer chat(std::string_view body) const { return ask("POST", "/v1/chat/completions", body); }
  HttpAnswer complete(std::string_view body) const { return ask("POST", "/v1/completions", body); }
  // A number of /metrics; -1 if there is none of that name.
  double metric(std::string_view name) const;
  // Waits until the metric has the value; false if it does not in ten seconds.
  bool wait_for(std::string_view name, double value) const;

  std::string log() const;
  void send(int signal) const { program_.send(signal); }
  bool ended() { return program_.ended(); }
  int wait() { return program_.wait(); }

 private:
  TempDir dir_;
  RunningFathom program_;
  int port_ = 0;
};

// A suite of tests that share one server.
class ServerTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { server_ = new RunningServer(); }
  static void TearDownTestSuite() {
    delete server_;
    server_ = nullptr;
  }
  static inline RunningServer* server_ = nullptr;
};

}  // namespace fathom::test
