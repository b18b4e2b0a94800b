// Goal: load, neighbours, logs and time bring nobody down and show nobody what is another's.
// Method: the faults by their numbers (docs/serving.md), with servers of their own.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/e2e/running_server.h"
#include "tests/support/json_path.h"
#include "tests/support/subprocess.h"

namespace fathom::test {
namespace {

using Connections = std::vector<std::unique_ptr<HttpConnection>>;

void ask_many(const RunningServer& server, Connections& out, int n, const std::string& body) {
  for (int i = 0; i < n; ++i) {
    out.push_back(std::make_unique<HttpConnection>(server.port()));
    out.back()->send(http_request("POST", "/v1/completions", body));
  }
}

TEST(ServeLoad, F47MoreThanFits) {
  // Room for two long requests at once.
  const RunningServer server(
      {"--max-running", "8", "--max-queue", "1000", "--kv-memory", "1MiB", "--context", "512"});
  const std::string text =
      text_at(server.complete(R"({"prompt": "Once", "max_tokens": 30, "temperature": 0})").json(),
              {"choices", "0", "text"});
  Connections clients;
  ask_many(server, clients, 2,
           R"({"prompt": "The", "max_tokens": 400, "ignore_eos": true, "temperature": 0})");
  ask_many(server, clients, 150, R"({"prompt": "Once", "max_tokens": 30, "temperature": 0})");
  for (size_t i = 2; i < clients.size(); ++i) {
    const HttpAnswer answer = clients[i]->answer();
    ASSERT_EQ(answer.status, 200) << answer.body;
    EXPECT_EQ(text_at(answer.json(), {"choices", "0", "text"}), text);
  }
  for (size_t i = 0; i < 2; ++i) {
    const HttpAnswer answer = clients[i]->answer();
    ASSERT_EQ(answer.status, 200) << answer.body;
    EXPECT_EQ(at(answer.json(), {"usage", "completion_tokens"}).as_int(), 400);
  }
}

TEST(ServeLoad, F47MoreThanMayWait) {
  const RunningServer server({"--max-running", "2", "--max-queue", "10"});
  Connections clients;
  ask_many(server, clients, 60, R"({"prompt": "Once", "max_tokens": 100, "ignore_eos": true})");
  int answered = 0, later = 0;
  for (auto& client : clients) {
    const int status = client->answer().status;
    answered += status == 200;
    later += status == 429;
  }
  EXPECT_EQ(answered + later, 60);
  EXPECT_GE(answered, 10);
}

TEST(ServeLoad, F05NoMoreFiles) {
  // Twenty files are few: more connections than that wait, and the server goes on.
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &old), 0);
  rlimit few = old;
  few.rlim_cur = 24;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  const auto server = std::make_unique<RunningServer>();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &old), 0);
  {
    Connections idle;
    for (int i = 0; i < 60; ++i) idle.push_back(std::make_unique<HttpConnection>(server->port()));
  }
  EXPECT_EQ(server->ask("GET", "/health").status, 200);
}

TEST(ServeTenants, F53NobodySeesWhatIsAnothers) {
  const RunningServer server({"--api-key", "one", "--api-key", "two"});
  const std::string body = R"({"messages": [{"role": "user", "content": ")" +
                           std::string(300, 'a') +
                           R"( secret"}], "max_tokens": 2, "temperature": 0)";
  const auto cached = [&](const std::string& key, const std::string& more) {
    const HttpAnswer answer =
        server.ask("POST", "/v1/chat/completions", body + more + "}",
                   {{"Content-Type", "application/json"}, {"Authorization", "Bearer " + key}});
    EXPECT_EQ(answer.status, 200) << answer.body;
    return at(answer.json(), {"usage", "prompt_tokens_details", "cached_tokens"}).as_int();
  };
  EXPECT_EQ(cached("one", ""), 0);
  const int64_t own = cached("one", "");
  EXPECT_GT(own, 0);
  EXPECT_EQ(cached("two", ""), 0);
  EXPECT_EQ(cached("one", R"(, "cache_salt": "x")"), 0);
  EXPECT_EQ(cached("two", R"(, "cache_salt": "one")"), 0);
  // Other sampling takes the same prefix.
  EXPECT_EQ(cached("one", R"(, "top_p": 0.5, "seed": 3)"), own);

  const HttpFields one = {{"Content-Type", "application/json"}, {"Authorization", "Bearer one"}};
  const HttpFields two = {{"Content-Type", "application/json"}, {"Authorization", "Bearer two"}};
  const std::string id = text_at(
      server.ask("POST", "/v1/responses", R"({"input": "a", "max_output_tokens": 2})", one).json(),
      {"id"});
  EXPECT_EQ(server.ask("GET", "/v1/responses/" + id, "", one).status, 200);
  EXPECT_EQ(server.ask("GET", "/v1/responses/" + id, "", two).status, 404);
  EXPECT_EQ(server.ask("DELETE", "/v1/responses/" + id, "", two).status, 404);
  EXPECT_EQ(server
                .ask("POST", "/v1/responses",
                     R"({"input": "a", "previous_response_id": ")" + id + "\"}", two)
                .status,
            400);
}

TEST(ServeLife, PrefixesAreThereAfterARestart) {
  const TempDir folder;
  const std::string file = folder.file("prefixes");
  const std::string body =
      R"({"temperature": 0, "max_tokens": 8, "messages": [{"role": "user", "content": ")" +
      std::string(300, 'a') + R"("}]})";
  const auto ask = [&](RunningServer& server) {
    const Json json = server.chat(body).json();
    return std::make_pair(text_at(json, {"choices", "0", "message", "content"}),
                          at(json, {"usage", "prompt_tokens_details", "cached_tokens"}).as_int());
  };
  RunningServer first({"--prefix-cache", file});
  const auto [text, cold] = ask(first);
  EXPECT_EQ(cold, 0);
  first.send(SIGTERM);
  EXPECT_EQ(first.wait(), 0);
  RunningServer second({"--prefix-cache", file});
  const auto [again, warm] = ask(second);
  EXPECT_EQ(again, text);
  EXPECT_GT(warm, 0);
  const RunResult other =
      run_fathom({"serve", "--port", "0", "--kv-dtype", "fp8", "--prefix-cache", file});
  EXPECT_EQ(other.exit_code, 1);
  EXPECT_NE(other.err.find("other settings"), std::string::npos) << other.err;
}

TEST(ServeLogs, F54NothingOfRequestsNothingForged) {
  RunningServer server;
  const std::string forged = "x\\n2026-01-01 fathom: forged \\u001b[31m";
  EXPECT_EQ(server
                .chat("{\"model\": \"" + forged +
                      "\", \"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}")
                .status,
            404);
  EXPECT_EQ(server.complete(R"({"prompt": "MySecretPrompt", "max_tokens": 2})").status, 200);
  EXPECT_EQ(server.ask("GET", "/%0d%0aforged").status, 404);
  EXPECT_EQ(server.ask("GET", "/health", "", {{"x-request-id", "a b\tc"}}).status, 200);
  server.send(SIGTERM);
  EXPECT_EQ(server.wait(), 0);
  const std::string log = server.log();
  EXPECT_EQ(log.find("MySecretPrompt"), std::string::npos) << log;
  EXPECT_EQ(log.find('\x1b'), std::string::npos) << log;
  EXPECT_EQ(log.find("\n2026-01-01"), std::string::npos) << log;
}

TEST(ServeLife, F55ThePortIsTaken) {
  const RunningServer server;
  const RunResult second = run_fathom({"serve", "--port", std::to_string(server.port())});
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_NE(second.err.find("choose another --port"), std::string::npos) << second.err;
  EXPECT_EQ(server.ask("GET", "/health").status, 200);
}

}  // namespace
}  // namespace fathom::test
