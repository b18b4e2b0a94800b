// Goal: what a request asks of the answer - its parameters, its form, its tools - is checked whole,
// and hostile forms cost bounded time. Method: the faults by their numbers (docs/serving.md), over
// real connections.
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/e2e/server_fault_test.h"
#include "tests/support/json_path.h"

namespace fathom::test {
namespace {

class ServeFaultsAnswers : public ServerFaultTest {
 protected:
  // A short greeting, with these fields besides.
  static std::string hello(const std::string& fields) {
    const bool has_length = fields.find("\"max_tokens\"") != std::string::npos;
    return R"({"messages": [{"role": "user", "content": "Hello"}])" +
           std::string(has_length ? "" : R"(, "max_tokens": 3)") + (fields.empty() ? "" : ", ") +
           fields + "}";
  }
  static HttpAnswer chat(const std::string& fields) { return server_->chat(hello(fields)); }
};

TEST_F(ServeFaultsAnswers, F15WrongTypesOfEveryField) {
  const std::vector<std::string> numbers = {"temperature",
                                            "top_p",
                                            "top_k",
                                            "min_p",
                                            "repetition_penalty",
                                            "presence_penalty",
                                            "frequency_penalty",
                                            "seed",
                                            "n",
                                            "max_completion_tokens",
                                            "min_tokens",
                                            "priority"};
  const std::vector<std::string> booleans = {"stream",
                                             "logprobs",
                                             "ignore_eos",
                                             "skip_special_tokens",
                                             "parallel_tool_calls",
                                             "continue_final_message",
                                             "add_generation_prompt"};
  const std::vector<std::string> texts = {"model", "reasoning_effort", "regex", "ebnf",
                                          "cache_salt"};
  const std::vector<std::string> arrays = {"stop_token_ids", "tools", "functions"};
  const std::vector<std::string> objects = {"logit_bias", "response_format", "thinking",
                                            "chat_template_kwargs", "structured_outputs"};
  const auto check = [](const std::vector<std::string>& names,
                        const std::vector<std::string>& wrong) {
    for (const std::string& name : names) {
      for (const std::string& value : wrong) {
        const HttpAnswer answer = chat("\"" + name + "\": " + value);
        EXPECT_EQ(answer.status, 400) << name << " " << value;
        EXPECT_TRUE(text_at(answer.json(), {"error", "param"}).starts_with(name)) << answer.body;
      }
    }
  };
  check(numbers, {"\"1\"", "[]", "{}", "true"});
  check(booleans, {"1", "\"true\"", "[]", "{}"});
  check(texts, {"1", "[]", "{}", "true"});
  check(arrays, {"1", "\"a\"", "{}", "true"});
  check(objects, {"1", "\"a\"", "[]", "true"});
  for (const char* messages :
       {"1", "{}", "\"a\"", "[1]", "[[]]", R"([{"role": 1, "content": "a"}])",
        R"([{"role": "user", "content": 1}])", R"([{"role": "user", "content": [1]}])"}) {
    const HttpAnswer answer = server_->chat(std::string("{\"messages\": ") + messages + "}");
    EXPECT_EQ(answer.status, 400) << messages;
    EXPECT_TRUE(text_at(answer.json(), {"error", "param"}).starts_with("messages")) << answer.body;
  }
}

TEST_F(ServeFaultsAnswers, F18F22F23F24Parameters) {
  for (const char* field :
       {"\"temperature\": -1", "\"temperature\": 1e30", "\"top_p\": 0", "\"top_p\": 1.1",
        "\"top_k\": -2", "\"min_p\": 2", "\"repetition_penalty\": 0", "\"presence_penalty\": 3",
        "\"logprobs\": true, \"top_logprobs\": 21", "\"logprobs\": true, \"top_logprobs\": -1",
        "\"top_logprobs\": 2", "\"priority\": 9223372036854775808", "\"prompt_logprobs\": 1",
        "\"logit_bias\": {\"-1\": 1}", "\"logit_bias\": {\"4096\": 1}",
        "\"logit_bias\": {\"a\": 1}", "\"logit_bias\": {\"1\": 1e308}"})
    EXPECT_EQ(chat(field).status, 400) << field;
  // The longest answer is what binds: a minimum above it changes nothing.
  const Json both = chat("\"min_tokens\": 100, \"max_tokens\": 2").json();
  EXPECT_EQ(at(both, {"usage", "completion_tokens"}).as_int(), 2);
  EXPECT_EQ(chat("\"ignore_eos\": true, \"temperature\": 1e-30, \"top_k\": 1").status, 200);
  // One id twice at once: both are answered.
  std::vector<std::unique_ptr<HttpConnection>> twins;
  for (int i = 0; i < 2; ++i) {
    twins.push_back(std::make_unique<HttpConnection>(server_->port()));
    twins.back()->send(
        http_request("POST", "/v1/chat/completions", hello(""), {{"x-request-id", "same"}}));
  }
  for (auto& twin : twins) {
    const HttpAnswer answer = twin->answer();
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.header("x-request-id"), "same");
  }
}

// What is kept of tokens until an answer is whole has a limit; a stream keeps nothing.
TEST_F(ServeFaultsAnswers, MoreBesideTheTextThanIsKept) {
  const std::string all = R"("n": 128, "logprobs": true, "top_logprobs": 20, "ignore_eos": true,
      "return_routed_experts": true)";
  const std::string long_ones = all + R"(, "max_tokens": 1000)";
  const HttpAnswer refused = chat(long_ones);
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(text_at(refused.json(), {"error", "param"}), "top_logprobs") << refused.body;
  EXPECT_NE(refused.body.find("MiB"), std::string::npos) << refused.body;
  const Json taken = chat(all).json();
  EXPECT_EQ(at(taken, {"choices"}).as_array().size(), 128u);
  EXPECT_EQ(at(taken, {"choices", "127", "logprobs", "content"}).as_array().size(), 3u);
  EXPECT_EQ(at(taken, {"choices", "127", "routed_experts"}).as_array().size(), 3u);
  // Without max_tokens what fits is given, here all of a short form.
  const Json cut = chat(all + R"(, "max_tokens": null, "regex": "a")").json();
  EXPECT_EQ(text_at(cut, {"choices", "127", "message", "content"}), "a") << cut.dump();
  EXPECT_EQ(complete(R"("prompt": "a", "n": 128, "logprobs": 20, "max_tokens": 200)").status, 400);
  HttpConnection client(server_->port());
  client.send(
      http_request("POST", "/v1/chat/completions", hello(long_ones + R"(, "stream": true)")));
  EXPECT_TRUE(client.read_some().starts_with("HTTP/1.1 200 "));
}

// The default model in a context that it was not trained for.
TEST_F(ServeFaultsAnswers, AStreamEchoesWhatOneChunkTakes) {
  const TempDir folder;
  const std::filesystem::path model = FATHOM_TESTDATA "/../models/default";
  for (const auto& file : std::filesystem::directory_iterator(model))
    std::filesystem::create_symlink(file.path(), folder.file(file.path().filename().string()));
  Json config = *parse_json(read_file(model / "config.json"));
  config.set("max_position_embeddings", 8192);
  std::filesystem::remove(folder.file("config.json"));
  folder.write("config.json", config.dump());
  const RunningServer server({"--model", folder.path()});
  std::string prompt = "300";
  for (int i = 1; i < 4000; ++i) prompt += ", 300";
  const HttpAnswer refused =
      server.complete("{\"prompt\": [" + prompt +
                      R"(], "stream": true, "echo": true, "logprobs": 20, "max_tokens": 0})");
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(text_at(refused.json(), {"error", "param"}), "logprobs") << refused.body;
}

TEST_F(ServeFaultsAnswers, F30TemplateVariables) {
  for (const char* kwargs :
       {R"({"messages": []})", R"({"thinking": {"a": 1}})", R"({"bos_token": "x"})"})
    EXPECT_EQ(chat(std::string("\"chat_template_kwargs\": ") + kwargs).status, 400) << kwargs;
  EXPECT_EQ(chat("\"chat_template_kwargs\": {\"thinking\": \"" + std::string(1 << 20, 'x') + "\"}")
                .status,
            400);
  EXPECT_EQ(chat(R"("chat_template_kwargs": {"thinking": false})").status, 200);
}

// Either refused or followed, each within seconds.
TEST_F(ServeFaultsAnswers, F31F32F33HostileForms) {
  std::string deep = R"({"type": "integer"})";
  for (int i = 0; i < 10'000; ++i) deep = R"({"type": "array", "items": )" + deep + "}";
  std::string many = "0";
  for (int i = 1; i < 1'000'000; ++i) many += "," + std::to_string(i);
  const std::vector<std::pair<std::string, bool>> schemas = {
      {R"({"$ref": "#"})", false},
      {R"({"$ref": "http://example.com/x.json"})", false},
      {R"({"$ref": "file:///etc/passwd"})", false},
      {deep, false},
      {"{\"enum\": [" + many + "]}", false},
      {R"({"type": "array", "minItems": 1000000000, "items": {}})", false},
      {R"({"type": "string", "minLength": 1000000000, "maxLength": 1000000000})", false},
      {R"({"type": "string", "pattern": "(a+)+$"})", true},
      {"false", false},
      {R"({"type": "integer", "minimum": 5, "maximum": 4})", false},
      {R"({"type": "object", "unheard": 1, "properties": {"a": {"const": 1}}})", false},
      {R"({"type": "object", "properties": {"\u00e9\u4e16": {"const": 1}}, "required": ["\u00e9\u4e16"]})",
       true},
      {"{}", true}};
  const auto timed = [](const std::string& field) {
    const auto begin = std::chrono::steady_clock::now();
    const HttpAnswer answer = chat(field);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30))
        << field.substr(0, 100);
    EXPECT_TRUE(answer.status == 200 || answer.status == 400)
        << field.substr(0, 100) << answer.status;
    return answer.status == 200;
  };
  for (const auto& [schema, taken] : schemas)
    EXPECT_EQ(timed(R"("response_format": {"type": "json_schema", "json_schema": {"schema": )" +
                    schema + "}}"),
              taken)
        << schema.substr(0, 100);
  const std::vector<std::pair<std::string, bool>> expressions = {
      {"(a+)+b", true},   {"(.*)*", true},     {"a{1000}{1000}", false},
      {"(?<=a)b", false}, {"(a)\\\\1", false}, {"(a", false},
      {"a)", false}};
  for (const auto& [regex, taken] : expressions)
    EXPECT_EQ(timed("\"regex\": \"" + regex + "\""), taken) << regex;
  const std::vector<std::pair<std::string, bool>> grammars = {
      {"", false},
      {"root ::= other", false},
      {"root ::= root \\\"a\\\"", false},
      {"root ::= ( [x]* )*", true},
      {"%llguidance {}", false},
      {"root ::= \\\"" + std::string(1 << 20, 'a') + "\\\"", false}};
  for (const auto& [ebnf, taken] : grammars)
    EXPECT_EQ(timed("\"ebnf\": \"" + ebnf + "\""), taken) << ebnf.substr(0, 100);
}

TEST_F(ServeFaultsAnswers, F34AFormThatIsCutOffIsABeginning) {
  const std::string fields =
      R"("temperature": 0, "regex": "[0-9]{4}-[0-9]{2}-[0-9]{2}", "max_tokens": )";
  const Json whole = chat(fields + "20").json(), cut = chat(fields + "5").json();
  const std::string all = text_at(whole, {"choices", "0", "message", "content"});
  const std::string part = text_at(cut, {"choices", "0", "message", "content"});
  EXPECT_EQ(all.size(), 10u) << all;
  EXPECT_EQ(text_at(whole, {"choices", "0", "finish_reason"}), "stop");
  EXPECT_EQ(text_at(cut, {"choices", "0", "finish_reason"}), "length");
  EXPECT_LT(part.size(), all.size());
  EXPECT_TRUE(all.starts_with(part)) << all << " " << part;
}

TEST_F(ServeFaultsAnswers, F35FormsStopsAndToolsTogether) {
  const auto content = [](const std::string& fields) {
    const Json json = chat(fields).json();
    return text_at(json, {"choices", "0", "message", "content"});
  };
  const std::string digits =
      R"("temperature": 0.7, "seed": 5, "max_tokens": 30, "regex": "[0-9]{12}")";
  const std::string all = content(digits);
  ASSERT_EQ(all.size(), 12u);
  const std::string stop = all.substr(6, 2);
  EXPECT_EQ(content(digits + ", \"stop\": [\"" + stop + "\"]"), all.substr(0, all.find(stop)));
  EXPECT_EQ(
      content(
          digits +
          R"(, "thinking": {"type": "disabled"}, "tools": [{"type": "function", "function": {"name": "f"}}])")
          .size(),
      12u);
}

TEST_F(ServeFaultsAnswers, F36Tools) {
  const auto tool = [](const std::string& function) {
    return R"({"type": "function", "function": )" + function + "}";
  };
  std::string many = tool(R"({"name": "f"})");
  for (int i = 0; i < 128; ++i) many += ", " + tool("{\"name\": \"f" + std::to_string(i) + "\"}");
  for (const std::string& tools :
       {many, tool(R"({"name": "a"})") + ", " + tool(R"({"name": "a"})"),
        tool(R"({"name": "a b"})"), tool(R"({"name": "a", "parameters": []})")})
    EXPECT_EQ(chat("\"tools\": [" + tools + "]").status, 400) << tools.substr(0, 80);
  EXPECT_EQ(chat("\"tools\": [" + tool(R"({"name": "a"})") + "]").status, 200);
}

}  // namespace
}  // namespace fathom::test
