// Goal: the server answers as clients of the OpenAI API expect, and the same bytes as the program
// gives for the request alone. Method: the real program over real connections.
#include <gtest/gtest.h>
#include <signal.h>

#include <string>
#include <thread>
#include <vector>

#include "tests/e2e/running_server.h"
#include "tests/support/json_path.h"
#include "tests/support/subprocess.h"

namespace fathom::test {
namespace {

class Serve : public ServerTest {};

constexpr const char* kStory =
    R"("messages": [{"role": "user", "content": "Tell me a story."}], "temperature": 0, "max_tokens": 24)";

std::string story(const std::string& more = "") { return std::string("{") + kStory + more + "}"; }

TEST_F(Serve, ChatAnswersWhatGenerateDoes) {
  const HttpAnswer answer = server_->chat(story());
  ASSERT_EQ(answer.status, 200) << answer.body;
  const Json json = answer.json();
  EXPECT_EQ(text_at(json, {"object"}), "chat.completion");
  EXPECT_EQ(text_at(json, {"model"}), "fathom-default");
  EXPECT_EQ(text_at(json, {"choices", "0", "finish_reason"}), "length");
  EXPECT_EQ(text_at(json, {"choices", "0", "message", "role"}), "assistant");
  EXPECT_EQ(at(json, {"usage", "completion_tokens"}).as_int(), 24);
  const RunResult alone = run_fathom({"generate", "--chat", "--temperature", "0", "--max-tokens",
                                      "24", "--drafts", "off", "Tell me a story."});
  EXPECT_EQ(text_at(json, {"choices", "0", "message", "content"}) + "\n", alone.out);
}

TEST_F(Serve, AStreamIsTheWholeInPieces) {
  const Json whole = server_->chat(story()).json();
  const HttpAnswer answer =
      server_->chat(story(R"(, "stream": true, "stream_options": {"include_usage": true})"));
  ASSERT_EQ(answer.status, 200);
  EXPECT_EQ(answer.header("content-type"), "text/event-stream");
  const std::vector<Json> events = answer.events();
  ASSERT_GT(events.size(), 10u);
  EXPECT_EQ(text_at(events.front(), {"choices", "0", "delta", "role"}), "assistant");
  std::string text;
  for (const Json& event : events) {
    EXPECT_EQ(text_at(event, {"object"}), "chat.completion.chunk");
    EXPECT_EQ(text_at(event, {"id"}), text_at(events.front(), {"id"}));
    const Json& content = at(event, {"choices", "0", "delta", "content"});
    if (content.is_string()) text += content.as_string();
    EXPECT_NE(event.find("usage"), nullptr);
  }
  EXPECT_EQ(text, text_at(whole, {"choices", "0", "message", "content"}));
  EXPECT_EQ(text_at(events[events.size() - 2], {"choices", "0", "finish_reason"}), "length");
  EXPECT_TRUE(at(events.back(), {"choices"}).as_array().empty());
  EXPECT_EQ(at(events.back(), {"usage", "completion_tokens"}).as_int(), 24);
}

TEST_F(Serve, ManyAtOnceGetWhatEachGetsAlone) {
  std::vector<std::string> bodies, alone;
  for (int i = 0; i < 12; ++i) {
    bodies.push_back(R"({"messages": [{"role": "user", "content": "Tell me of )" +
                     std::string(static_cast<size_t>(3 * i + 1), 'a') +
                     R"("}], "temperature": 0.8, "max_tokens": 30, "seed": )" + std::to_string(i) +
                     "}");
    alone.push_back(text_at(server_->chat(bodies.back()).json(), {"choices", "0", "message"}));
  }
  std::vector<std::string> together(bodies.size());
  std::vector<std::thread> clients;
  for (size_t i = 0; i < bodies.size(); ++i) {
    clients.emplace_back([&, i] {
      together[i] = text_at(server_->chat(bodies[i]).json(), {"choices", "0", "message"});
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(together, alone);
}

TEST_F(Serve, ChoicesDifferAndRepeat) {
  const std::string body =
      R"({"prompt": "Once upon a time", "max_tokens": 12, "n": 3, "seed": 5, "temperature": 1})";
  const Json first = server_->complete(body).json(), second = server_->complete(body).json();
  EXPECT_EQ(at(first, {"choices"}).dump(), at(second, {"choices"}).dump());
  EXPECT_NE(text_at(first, {"choices", "0", "text"}), text_at(first, {"choices", "1", "text"}));
  EXPECT_EQ(at(first, {"usage", "completion_tokens"}).as_int(), 36);
}

TEST_F(Serve, CompletionsScoreTheirPrompt) {
  const Json json = server_
                        ->complete(R"({"prompt": "Once upon a time there was a fox.", "echo": true,
      "logprobs": 2, "max_tokens": 0})")
                        .json();
  const RunResult scored =
      run_fathom({"score", "-"}, {.input = "{\"text\": \"Once upon a time there was a fox.\"}\n"});
  const Json expected = *parse_json(scored.out.substr(0, scored.out.find('\n')));
  EXPECT_EQ(at(json, {"choices", "0", "logprobs", "token_logprobs"}).dump(),
            at(expected, {"logprobs"}).dump());
  EXPECT_EQ(text_at(json, {"choices", "0", "text"}), "Once upon a time there was a fox.");
  EXPECT_EQ(at(json, {"usage", "completion_tokens"}).as_int(), 0);
  EXPECT_GE(at(json, {"choices", "0", "logprobs", "top_logprobs", "3"}).as_object().size(), 2u);
}

TEST_F(Serve, StopStringsAndLogprobs) {
  const Json whole = server_->chat(story()).json();
  const std::string text = text_at(whole, {"choices", "0", "message", "content"});
  const std::string stop = text.substr(text.find(' ', 1) + 1, 4);  // within its second word
  const std::string stops = R"("stop": ["never said", )" + Json(stop).dump() + "]";
  const Json json =
      server_->chat(story(R"(, "logprobs": true, "top_logprobs": 3, )" + stops)).json();
  EXPECT_EQ(text_at(json, {"choices", "0", "finish_reason"}), "stop");
  EXPECT_EQ(text_at(json, {"choices", "0", "message", "content"}), text.substr(0, text.find(stop)));
  const Json& logprobs = at(json, {"choices", "0", "logprobs", "content"});
  ASSERT_TRUE(logprobs.is_array() && !logprobs.as_array().empty());
  EXPECT_EQ(at(logprobs, {"0", "top_logprobs"}).as_array().size(), 3u);
  EXPECT_EQ(text_at(logprobs, {"0", "token"}),
            text_at(logprobs, {"0", "top_logprobs", "0", "token"}));
}

TEST_F(Serve, ThePageIsOneFileWithItsPolicy) {
  const HttpAnswer page = server_->ask("GET", "/");
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.header("content-type"), "text/html; charset=utf-8");
  EXPECT_EQ(page.header("content-security-policy"), "frame-ancestors 'none'");
  EXPECT_NE(page.body.find("script-src 'sha256-"), std::string::npos);
  EXPECT_EQ(page.body.find("src=\"http"), std::string::npos);
  EXPECT_EQ(server_->ask("POST", "/", "{}").status, 405);
}

TEST_F(Serve, ExpertsOfEachTokenAreTold) {
  const Json model = at(server_->ask("GET", "/v1/models").json(), {"data", "0", "routed_experts"});
  const Json whole = server_->chat(story(R"(, "return_routed_experts": true)")).json();
  const Json::Array& tokens = at(whole, {"choices", "0", "routed_experts"}).as_array();
  EXPECT_EQ(tokens.size(), 24u);
  for (const Json& layers : tokens) {
    EXPECT_EQ(std::ssize(layers.as_array()), at(model, {"n_layers"}).as_int());
    for (const Json& experts : layers.as_array()) {
      EXPECT_EQ(std::ssize(experts.as_array()), at(model, {"num_experts_per_tok"}).as_int());
      for (const Json& id : experts.as_array())
        EXPECT_LT(id.as_int(), at(model, {"n_routed_experts"}).as_int());
    }
  }
  const HttpAnswer stream =
      server_->chat(story(R"(, "return_routed_experts": true, "stream": true)"));
  Json joined = Json::array();
  for (const Json& chunk : stream.events())
    for (const Json& token : at(chunk, {"choices", "0", "routed_experts"}).as_array())
      joined.push_back(token);
  EXPECT_EQ(joined.dump(), Json(tokens).dump());
  EXPECT_TRUE(at(server_->chat(story()).json(), {"choices", "0", "routed_experts"}).is_null());
}

TEST_F(Serve, SharedBeginningsCostOnce) {
  std::string words;
  for (int i = 0; i < 60; ++i) words += "the fox went home and ";
  const auto body = [&](const std::string& end) {
    return R"({"prompt": ")" + words + end + R"(", "max_tokens": 2})";
  };
  const Json first = server_->complete(body("slept")).json();
  const Json second = server_->complete(body("ate")).json();
  EXPECT_EQ(at(first, {"usage", "prompt_cache_hit_tokens"}).as_int(), 0);
  const int64_t hit = at(second, {"usage", "prompt_cache_hit_tokens"}).as_int();
  EXPECT_GE(hit, 128);
  EXPECT_EQ(hit + at(second, {"usage", "prompt_cache_miss_tokens"}).as_int(),
            at(second, {"usage", "prompt_tokens"}).as_int());
}

TEST_F(Serve, AnAnswersBeginningIsGoneOnWith) {
  const Json json = server_
                        ->chat(R"({"messages": [{"role": "user", "content": "Who are you?"},
      {"role": "assistant", "content": "I am a", "prefix": true}], "temperature": 0, "max_tokens": 4})")
                        .json();
  const Json rendered =
      server_
          ->ask("POST", "/render", R"({"messages": [{"role": "user", "content": "Who are you?"}]})")
          .json();
  std::string ids;
  for (const Json& id : at(rendered, {"tokens"}).as_array()) ids += id.dump() + ", ";
  const Json beginning =
      server_->ask("POST", "/tokenize", R"({"prompt": "I am a", "add_special_tokens": false})")
          .json();
  for (const Json& id : at(beginning, {"tokens"}).as_array()) ids += id.dump() + ", ";
  const Json same = server_
                        ->complete(R"({"temperature": 0, "max_tokens": 4, "prompt": [)" +
                                   ids.substr(0, ids.size() - 2) + "]}")
                        .json();
  EXPECT_EQ(text_at(json, {"choices", "0", "message", "content"}),
            text_at(same, {"choices", "0", "text"}));
}

TEST_F(Serve, ModelsTokensAndPages) {
  EXPECT_EQ(text_at(server_->ask("GET", "/v1/models").json(), {"data", "0", "id"}),
            "fathom-default");
  EXPECT_EQ(server_->ask("GET", "/models/fathom-default").status, 200);
  const HttpAnswer unknown = server_->ask("GET", "/v1/models/gpt-4");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(text_at(unknown.json(), {"error", "code"}), "model_not_found");
  const Json ids = server_->ask("POST", "/tokenize", R"({"prompt": "Hi <｜User｜>"})").json();
  const Json text =
      server_->ask("POST", "/detokenize", "{\"tokens\": " + at(ids, {"tokens"}).dump() + "}")
          .json();
  EXPECT_EQ(text_at(text, {"prompt"}), "<｜begin▁of▁sentence｜>Hi <｜User｜>");
  EXPECT_EQ(server_->ask("GET", "/health").status, 200);
  EXPECT_EQ(server_->ask("GET", "/ready").status, 200);
  EXPECT_EQ(server_->ask("HEAD", "/health").body, "");
  EXPECT_EQ(server_->ask("OPTIONS", "/v1/chat/completions").status, 204);
  const double before = server_->metric("generated_tokens_total");
  server_->complete(R"({"prompt": "Once", "max_tokens": 3, "ignore_eos": true})");
  EXPECT_TRUE(server_->wait_for("generated_tokens_total", before + 3));
  EXPECT_EQ(
      server_->ask("GET", "/v1/models", "", {{"x-request-id", "mine-1"}}).header("x-request-id"),
      "mine-1");
}

TEST_F(Serve, MessagesInAnthropicsShape) {
  const std::string fields = R"("max_tokens": 24, "temperature": 0,
      "messages": [{"role": "user", "content": "Tell me a story."}])";
  const Json json = server_->ask("POST", "/v1/messages", "{" + fields + "}").json();
  EXPECT_EQ(text_at(json, {"type"}), "message");
  EXPECT_EQ(text_at(json, {"content", "0", "text"}),
            text_at(server_->chat(story()).json(), {"choices", "0", "message", "content"}));
  EXPECT_EQ(text_at(json, {"stop_reason"}), "max_tokens");
  EXPECT_EQ(at(json, {"usage", "output_tokens"}).as_int(), 24);
  const HttpAnswer stream =
      server_->ask("POST", "/v1/messages", "{" + fields + ", \"stream\": true}");
  EXPECT_EQ(stream.header("content-type"), "text/event-stream");
  EXPECT_TRUE(stream.body.starts_with("event: message_start\n"));
  EXPECT_TRUE(stream.body.ends_with("{\"type\":\"message_stop\"}\n\n")) << stream.body;
  const Json counted = server_->ask("POST", "/v1/messages/count_tokens", "{" + fields + "}").json();
  EXPECT_EQ(at(counted, {"input_tokens"}).as_int(),
            at(json, {"usage", "input_tokens"}).as_int() +
                at(json, {"usage", "cache_read_input_tokens"}).as_int());
  const HttpAnswer wrong = server_->ask("POST", "/v1/messages", "{}");
  EXPECT_EQ(wrong.status, 400);
  EXPECT_EQ(text_at(wrong.json(), {"error", "type"}), "invalid_request_error");
  EXPECT_EQ(text_at(wrong.json(), {"type"}), "error");
}

TEST(ServeAccess, KeysHostsAndOrigins) {
  const RunningServer server({"--api-key", "secret", "--api-key", "other", "--cors",
                              "https://page.example", "--served-model-name", "deepseek-chat"});
  const auto status = [&](const HttpFields& headers) {
    return server.ask("GET", "/v1/models", "", headers).status;
  };
  EXPECT_EQ(status({}), 401);
  EXPECT_EQ(status({{"Authorization", "Bearer secre"}}), 401);
  EXPECT_EQ(status({{"Authorization", "Bearer secrets"}}), 401);
  EXPECT_EQ(status({{"Authorization", "Bearer " + std::string(60'000, 's')}}), 401);
  EXPECT_EQ(status({{"Authorization", "Bearer secret"}, {"Authorization", "Bearer secret"}}), 401);
  EXPECT_EQ(status({{"Authorization", "Bearer secret"}}), 200);
  EXPECT_EQ(status({{"authorization", "bearer other"}}), 200);
  EXPECT_EQ(status({{"x-api-key", "other"}}), 200);
  EXPECT_EQ(server.ask("GET", "/health").status, 200);
  EXPECT_EQ(server.ask("GET", "/metrics").status, 401);
  EXPECT_EQ(server.ask("GET", "/health", "", {{"Host", "evil.example"}}).status, 403);
  EXPECT_EQ(server.ask("GET", "/health", "", {{"Origin", "https://evil.example"}}).status, 403);
  const HttpAnswer page = server.ask("GET", "/health", "", {{"Origin", "https://page.example"}});
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.header("access-control-allow-origin"), "https://page.example");
  EXPECT_EQ(text_at(server.ask("GET", "/v1/models", "", {{"x-api-key", "other"}}).json(),
                    {"data", "0", "id"}),
            "deepseek-chat");
}

// Whoever has no key is told so before a byte of the body, and does not make it be kept.
TEST(ServeAccess, KeysAreLookedAtBeforeBodies) {
  const RunningServer server({"--api-key", "secret"});
  const auto answer = [&](const std::string& more) {
    HttpConnection client(server.port());
    client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n" + more);
    return client.answer();
  };
  const std::string length = "Content-Type: application/json\r\nContent-Length: 1000\r\n";
  const HttpAnswer refused = answer(length + "\r\n{\"mess");
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(text_at(refused.json(), {"error", "code"}), "invalid_api_key");
  EXPECT_NE(refused.header("x-request-id"), "");
  EXPECT_EQ(answer(length + "x-api-key: wrong\r\n\r\n").status, 401);
  EXPECT_EQ(answer(length + "Origin: https://evil.example\r\n\r\n").status, 403);
  const std::string body = R"({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1})";
  EXPECT_EQ(answer("Content-Type: application/json\r\nx-api-key: secret\r\nContent-Length: " +
                   std::to_string(body.size()) + "\r\n\r\n" + body)
                .status,
            200);
}

// What takes no body does not wait for one, with a key or without, and says so to HEAD by its head
// alone.
TEST(ServeAccess, BodiesWhereNoneIsTaken) {
  const RunningServer server({"--api-key", "secret"});
  const auto status = [&](const std::string& line, const std::string& more) {
    HttpConnection client(server.port());
    client.send(line + " HTTP/1.1\r\nHost: localhost\r\n" + more);
    return client.answer(/*has_body=*/!line.starts_with("HEAD")).status;
  };
  const std::string length = "Content-Length: 1000000\r\n\r\n{";
  for (const char* line : {"GET /", "GET /health", "GET /ready", "OPTIONS /v1/chat/completions",
                           "OPTIONS *", "HEAD /health"}) {
    EXPECT_EQ(status(line, length), 413) << line;
    EXPECT_EQ(status(line, "Transfer-Encoding: chunked\r\n\r\n"), 413) << line;
    EXPECT_NE(status(line, "Content-Length: 0\r\n\r\n"), 413) << line;
  }
  EXPECT_EQ(status("GET /health", "Content-Length: 2\r\n\r\n{}"), 413);
  EXPECT_EQ(status("GET /ping", length), 401);
  EXPECT_EQ(status("GET /ping", "x-api-key: secret\r\n" + length), 413);
  EXPECT_EQ(server.ask("GET", "/ping").status, 401);
  EXPECT_EQ(server.ask("GET", "/ping", "", {{"x-api-key", "secret"}}).status, 200);
}

TEST(ServeAccess, NamesInAddressesMayBeEscaped) {
  const RunningServer server({"--served-model-name", "deepseek-ai/DeepSeek V3"});
  const auto id = [&](const std::string& path) {
    return text_at(server.ask("GET", path).json(), {"id"});
  };
  EXPECT_EQ(id("/v1/models/deepseek-ai%2FDeepSeek%20V3"), "deepseek-ai/DeepSeek V3");
  EXPECT_EQ(id("/models/deepseek-ai/DeepSeek%20V3"), "deepseek-ai/DeepSeek V3");
  EXPECT_EQ(id("/v1/models/%64eepseek-ai%2fDeepSeek%20V3"), "deepseek-ai/DeepSeek V3");
  EXPECT_EQ(server.ask("GET", "/v1/models/deepseek-ai%252FDeepSeek%20V3").status, 404);
  for (const char* path : {"/v1/models/%", "/v1/models/a%2", "/v1/responses/%zz"})
    EXPECT_EQ(server.ask("GET", path).status, 400) << path;
  const std::string made = text_at(
      server.ask("POST", "/v1/responses", R"({"input": "Hi", "max_output_tokens": 1})").json(),
      {"id"});
  const std::string escaped = "/v1/responses/%72" + made.substr(1);
  EXPECT_EQ(id(escaped), made);
  EXPECT_EQ(text_at(server.ask("GET", escaped + "/input_items").json(), {"object"}), "list");
  EXPECT_EQ(server.ask("POST", escaped + "/cancel").status, 200);
  EXPECT_EQ(server.ask("DELETE", escaped).status, 200);
}

TEST(ServeLife, EndsWhenItsAnswersHaveEnded) {
  RunningServer server;
  HttpConnection client(server.port());
  client.send(
      http_request("POST", "/v1/chat/completions",
                   story(R"(, "stream": true, "ignore_eos": true, "max_completion_tokens": 300)")));
  ASSERT_FALSE(client.read_some().empty());
  server.send(SIGTERM);
  EXPECT_EQ(http_ask(server.port(), "GET", "/health").status, 200);
  std::string rest, piece;
  while (!(piece = client.read_some()).empty()) rest += piece;
  EXPECT_NE(rest.find("[DONE]"), std::string::npos);
  EXPECT_EQ(server.wait(), 0);
}

TEST(ServeLife, AClientThatGoesStopsItsWork) {
  RunningServer server({"--max-running", "2"});
  {
    HttpConnection client(server.port());
    client.send(http_request(
        "POST", "/v1/chat/completions",
        story(R"(, "stream": true, "ignore_eos": true, "max_completion_tokens": 450)")));
    ASSERT_FALSE(client.read_some().empty());
  }
  EXPECT_TRUE(server.wait_for("requests_running", 0));
  EXPECT_LT(server.metric("generated_tokens_total"), 440);
}

TEST(ServeLife, AFullQueueSaysWhenToComeAgain) {
  RunningServer server({"--max-running", "1", "--max-queue", "0"});
  HttpConnection client(server.port());
  const std::string body =
      R"({"prompt": "Once", "max_tokens": 400, "ignore_eos": true, "stream": true})";
  // One is written and one waits for its first token at most: of many at once some are refused.
  std::vector<std::unique_ptr<HttpConnection>> clients;
  for (int i = 0; i < 6; ++i) {
    clients.push_back(std::make_unique<HttpConnection>(server.port()));
    clients.back()->send(http_request("POST", "/v1/completions", body));
  }
  int refused = 0;
  for (auto& one : clients) {
    const HttpAnswer answer = one->answer();
    if (answer.status != 429) continue;
    ++refused;
    EXPECT_EQ(text_at(answer.json(), {"error", "code"}), "queue_full");
    EXPECT_NE(answer.header("retry-after"), "");
  }
  EXPECT_GT(refused, 0);
  EXPECT_LT(refused, 6);
}

TEST(ServeStart, SaysWhatIsWrong) {
  const RunningServer first;
  const RunResult taken = run_fathom({"serve", "--port", std::to_string(first.port())});
  EXPECT_EQ(taken.exit_code, 1);
  EXPECT_NE(taken.err.find("choose another --port"), std::string::npos) << taken.err;
  const RunResult open = run_fathom({"serve", "--host", "0.0.0.0", "--port", "0"});
  EXPECT_EQ(open.exit_code, 2);
  EXPECT_NE(open.err.find("--allow-public"), std::string::npos) << open.err;
  const RunResult half = run_fathom({"serve", "--tls-cert", "x.pem"});
  EXPECT_EQ(half.exit_code, 2);
  const RunResult missing =
      run_fathom({"serve", "--port", "0", "--tls-cert", "/no/x.pem", "--tls-key", "/no/y.pem"});
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_NE(missing.err.find("/no/x.pem"), std::string::npos) << missing.err;
}

}  // namespace
}  // namespace fathom::test
