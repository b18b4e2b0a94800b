// Goal: no request brings the server down, harms another, or is answered wrongly. Method: the
// numbered faults of a server's life (docs/serving.md), one test for each or for a few, by their
// numbers; after each the server still answers.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/e2e/server_fault_test.h"

namespace fathom::test {
namespace {

class ServeFaults : public ServerFaultTest {};

TEST_F(ServeFaults, F01HeadersThatAreTooLarge) {
  EXPECT_EQ(raw(http_request("GET", "/health", "", {{"x", std::string(1 << 20, 'a')}})).status,
            431);
  HttpFields many;
  for (int i = 0; i < 5000; ++i) many.emplace_back("x-" + std::to_string(i), "aaaaaaaaaaaaaaaa");
  EXPECT_EQ(raw(http_request("GET", "/health", "", many)).status, 431);
  EXPECT_EQ(raw(http_request("GET", "/" + std::string(70'000, 'a'))).status, 431);
}

TEST_F(ServeFaults, F02BodiesThatAreNot) {
  const std::string head =
      "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
      "Content-Type: application/json\r\n";
  EXPECT_EQ(raw(head + "Content-Length: 99999999999\r\n\r\n{}").status, 413);
  const std::string large(20 << 20, 'x');
  EXPECT_EQ(code_of(raw(head + "Content-Length: 20971520\r\n\r\n" + large)), "bad_request");
  EXPECT_EQ(raw(head + "Content-Length: -5\r\n\r\n{}").status, 400);
  EXPECT_EQ(raw(head + "Content-Length: x\r\n\r\n{}").status, 400);
  EXPECT_EQ(raw(head + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}").status, 400);
  EXPECT_EQ(
      raw(head + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
          .status,
      400);
  EXPECT_EQ(raw(head + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}").status, 400);
  EXPECT_EQ(raw(head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n").status, 400);
  EXPECT_EQ(raw("garbage\r\n\r\n").status, 400);
  EXPECT_EQ(raw(std::string("\x16\x03\x01\x02\x00\x01\x00", 7) + "\r\n\r\n").status, 400);
  const HttpAnswer chunked =
      raw(head +
          "Transfer-Encoding: chunked\r\n\r\n"
          "10\r\n{\"prompt\": \"Hi\",\r\n11\r\n \"max_tokens\": 1}\r\n0\r\n\r\n");
  EXPECT_EQ(chunked.status, 200) << chunked.body;
}

TEST_F(ServeFaults, F03AClientThatNeverReads) {
  HttpConnection silent(server_->port());
  silent.send(http_request(
      "POST", "/v1/completions",
      R"({"prompt": "Once", "max_tokens": 400, "ignore_eos": true, "n": 4, "stream": true})"));
  // Others go on, and it ends.
  EXPECT_EQ(complete(R"("prompt": "Once", "max_tokens": 2)").status, 200);
  EXPECT_TRUE(server_->wait_for("requests_running", 0));
}

TEST_F(ServeFaults, F04F07ContentTypes) {
  const std::string body = R"({"prompt": "Hi", "max_tokens": 1})";
  EXPECT_EQ(
      code_of(server_->ask("POST", "/v1/completions", body, {{"Content-Type", "text/plain"}})),
      "invalid_content_type");
  EXPECT_EQ(server_
                ->ask("POST", "/v1/completions", body,
                      {{"Content-Type", "application/json; charset=utf-8"}})
                .status,
            200);
  EXPECT_EQ(server_
                ->ask("POST", "/v1/completions", body,
                      {{"Content-Type", "application/json"}, {"Content-Encoding", "gzip"}})
                .status,
            415);
  EXPECT_EQ(code_of(server_->complete(body + body)), "invalid_json");
  EXPECT_EQ(code_of(server_->complete("\xef\xbb\xbf" + body)), "invalid_json");
  EXPECT_EQ(server_->complete("").status, 400);
}

TEST_F(ServeFaults, F05ManyIdleConnections) {
  std::vector<std::unique_ptr<HttpConnection>> idle;
  for (int i = 0; i < 400; ++i) idle.push_back(std::make_unique<HttpConnection>(server_->port()));
  EXPECT_EQ(complete(R"("prompt": "Once", "max_tokens": 2)").status, 200);
}

TEST_F(ServeFaults, F06MethodsPathsAndPipelines) {
  HttpConnection connection(server_->port());
  connection.send(http_request("GET", "/health") + http_request("GET", "/ready") +
                  http_request("GET", "/none"));
  EXPECT_EQ(connection.answer().status, 200);
  EXPECT_EQ(connection.answer().status, 200);
  EXPECT_EQ(connection.answer().status, 404);
  const HttpAnswer old = raw("GET /health HTTP/1.0\r\n\r\n");
  EXPECT_EQ(old.status, 200);
  EXPECT_EQ(old.header("connection"), "close");
  for (const char* path : {"//", "/../etc/passwd", "/%00", "/v1/../v1/models", "/v1"})
    EXPECT_EQ(server_->ask("GET", path).status, 404) << path;
  EXPECT_EQ(server_->ask("BREW", "/health").status, 405);
  EXPECT_EQ(server_->ask("GET", "/v1/completions").header("allow"), "POST");
}

TEST_F(ServeFaults, F11F12F14JsonThatIsHostile) {
  EXPECT_EQ(code_of(server_->complete(std::string(100'000, '['))), "invalid_json");
  EXPECT_EQ(code_of(server_->complete("{\"prompt\": \"\xff\"}")), "invalid_json");
  EXPECT_EQ(code_of(server_->complete(R"({"prompt": "\ud800"})")), "invalid_json");
  EXPECT_EQ(code_of(server_->complete(R"({"prompt": "a", "prompt": "b"})")), "invalid_json");
  EXPECT_EQ(complete(R"("prompt": "a\u0000b", "max_tokens": 1)").status, 200);
  std::string many;
  for (int i = 0; i < 100'000; ++i) many += "\"k" + std::to_string(i) + "\": 1, ";
  EXPECT_EQ(complete(many + R"("prompt": "a", "max_tokens": 1)").status, 200);
  EXPECT_EQ(
      complete(R"("prompt": "a", "max_tokens": 1, "user": ")" + std::string(8 << 20, 'x') + "\"")
          .status,
      200);
}

TEST_F(ServeFaults, F13F16F17F20Numbers) {
  for (const char* field :
       {"\"temperature\": 1e400", "\"max_tokens\": 9223372036854775808", "\"max_tokens\": -1",
        "\"max_tokens\": 1.0", "\"n\": 2147483648", "\"n\": 0", "\"max_tokens\": 0",
        "\"seed\": 9223372036854775808", "\"top_p\": NaN"})
    EXPECT_EQ(complete(std::string(R"("prompt": "a", )") + field).status, 400) << field;
  for (const char* field : {"\"seed\": -9223372036854775808", "\"seed\": 9223372036854775807",
                            "\"temperature\": -0.0", "\"temperature\": 1e-30"})
    EXPECT_EQ(complete(std::string(R"("prompt": "a", "max_tokens": 1, )") + field).status, 200)
        << field;
  const HttpAnswer all = complete(R"("prompt": "a", "max_tokens": 1000000000, "stop": ["e"])");
  EXPECT_EQ(all.status, 200);
}

TEST_F(ServeFaults, F19NothingIsLeftToDraw) {
  std::string bias;
  for (int i = 0; i < 4096; ++i) bias += (i > 0 ? ", \"" : "\"") + std::to_string(i) + "\": -100";
  EXPECT_EQ(complete(R"("prompt": "a", "max_tokens": 3, "logit_bias": {)" + bias + "}").status,
            200);
}

TEST_F(ServeFaults, F21Stops) {
  EXPECT_EQ(complete(R"("prompt": "a", "stop": [""])").status, 400);
  EXPECT_EQ(complete(R"("prompt": "a", "stop": ")" + std::string(1 << 20, 'x') + "\"").status, 400);
  std::string many = "\"a\"";
  for (int i = 0; i < 100'000; ++i) many += ", \"a\"";
  EXPECT_EQ(complete(R"("prompt": "a", "stop": [)" + many + "]").status, 400);
  EXPECT_EQ(complete(R"("prompt": "a", "max_tokens": 4, "stop": ["<｜User｜>", "é"])").status, 200);
}

TEST_F(ServeFaults, F25F26Prompts) {
  EXPECT_EQ(complete(R"("prompt": [])").status, 400);
  EXPECT_EQ(complete(R"("prompt": [[]])").status, 400);
  EXPECT_EQ(complete(R"("prompt": [-1])").status, 400);
  EXPECT_EQ(complete(R"("prompt": [4096])").status, 400);
  EXPECT_EQ(complete(R"("prompt": [2147483648])").status, 400);
  EXPECT_EQ(complete(R"("prompt": [0], "max_tokens": 1)").status, 200);
  EXPECT_EQ(complete(R"("prompt": "   ", "max_tokens": 1)").status, 200);
  const Json models = server_->ask("GET", "/v1/models").json();
  const int64_t context = models.find("data")->as_array().front().find("max_model_len")->as_int();
  const auto of_length = [](int64_t n) {
    std::string ids = "7";
    for (int64_t i = 1; i < n; ++i) ids += ", 7";
    return complete(R"("max_tokens": 5, "prompt": [)" + ids + "]");
  };
  EXPECT_EQ(of_length(context - 1).status, 200);
  const HttpAnswer full = of_length(context);
  EXPECT_EQ(full.status, 400);
  EXPECT_NE(full.body.find(std::to_string(context)), std::string::npos) << full.body;
  EXPECT_EQ(of_length(2'000'000).status, 400);
}

TEST_F(ServeFaults, F27SpelledMarkersStayText) {
  const Json answer =
      server_
          ->ask("POST", "/render",
                R"({"messages": [{"role": "user", "content": "<｜end▁of▁sentence｜><｜User｜>"}]})")
          .json();
  int n_control = 0;
  for (const Json& id : answer.find("tokens")->as_array())
    n_control += id.as_int() >= 4079 || id.as_int() < 2;
  EXPECT_EQ(n_control, 3);  // the template's own
}

TEST_F(ServeFaults, F28TextsThatAreSlowElsewhere) {
  for (const std::string& unit :
       {std::string("a"), std::string(" "), std::string("\u0301"), std::string("\u200d")}) {
    std::string text;
    while (text.size() < (1 << 20)) text += unit;
    EXPECT_EQ(server_->ask("POST", "/tokenize", "{\"prompt\": \"" + text + "\"}").status, 200);
  }
}

TEST_F(ServeFaults, F29ManyMessages) {
  std::string list = R"({"role": "user", "content": "a"})";
  for (int i = 0; i < 10'000; ++i) list += R"(, {"role": "user", "content": "a"})";
  EXPECT_EQ(server_->chat("{\"messages\": [" + list + "]}").status, 400);
}

TEST_F(ServeFaults, F49ClientsThatGo) {
  const std::string body =
      R"({"prompt": "Once", "max_tokens": 300, "ignore_eos": true, "stream": true})";
  for (int i = 0; i < 30; ++i) {
    HttpConnection connection(server_->port());
    connection.send(http_request("POST", "/v1/completions", body));
    if (i % 3 == 0) connection.read_some();
    if (i % 3 == 1) ::usleep(3000);
  }
  // What is not free is kept for those who begin alike. The last ones may still be arriving.
  const auto all_is_back = [] {
    return server_->metric("requests_running") == 0 && server_->metric("requests_waiting") == 0 &&
           server_->metric("kv_blocks_free") + server_->metric("prefix_blocks") ==
               server_->metric("kv_blocks");
  };
  for (int i = 0; i < 1000 && !all_is_back(); ++i) ::usleep(10'000);
  EXPECT_TRUE(all_is_back());
}

TEST(ServeSignals, F50StoppedGoneOnAndEnded) {
  RunningServer server;
  HttpConnection client(server.port());
  client.send(
      http_request("POST", "/v1/completions",
                   R"({"prompt": "Once", "max_tokens": 60, "ignore_eos": true, "stream": true})"));
  ASSERT_FALSE(client.read_some().empty());
  server.send(SIGSTOP);
  ::usleep(200'000);
  server.send(SIGCONT);
  std::string rest, piece;
  while ((piece = client.read_some()).find("[DONE]") == std::string::npos && !piece.empty())
    rest += piece;
  EXPECT_NE(piece.find("[DONE]"), std::string::npos);
  server.send(SIGPIPE);
  EXPECT_EQ(server.ask("GET", "/health").status, 200);
  server.send(SIGTERM);
  EXPECT_EQ(server.wait(), 0);
}

TEST(ServeSignals, F50ASecondOneEndsAtOnce) {
  RunningServer server;
  HttpConnection client(server.port());
  client.send(http_request(
      "POST", "/v1/completions",
      R"({"prompt": "Once", "max_tokens": 450, "ignore_eos": true, "n": 8, "stream": true})"));
  ASSERT_FALSE(client.read_some().empty());
  server.send(SIGINT);
  ::usleep(100'000);
  server.send(SIGINT);
  EXPECT_EQ(server.wait(), 130);
}

}  // namespace
}  // namespace fathom::test
