// Tests of faults: after each of them the server, which they share, is still there and answers.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "tests/e2e/running_server.h"

namespace fathom::test {

class ServerFaultTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { server_ = new RunningServer({"--max-running", "4"}); }
  static void TearDownTestSuite() {
    delete server_;
    server_ = nullptr;
  }
  void TearDown() override {
    EXPECT_FALSE(server_->ended()) << server_->log();
    EXPECT_EQ(complete(R"("prompt": "Once", "max_tokens": 2)").status, 200);
  }
  static HttpAnswer complete(const std::string& fields) {
    return server_->complete("{" + fields + "}");
  }
  static HttpAnswer raw(const std::string& bytes) {
    HttpConnection connection(server_->port());
    connection.send(bytes);
    return connection.answer();
  }
  static std::string code_of(const HttpAnswer& answer) {
    const Json json = answer.json();
    const Json* error = json.find("error");
    const Json* code = error == nullptr ? nullptr : error->find("code");
    return code != nullptr && code->is_string() ? code->as_string() : answer.body.substr(0, 200);
  }
  static inline RunningServer* server_ = nullptr;
};

}  // namespace fathom::test
