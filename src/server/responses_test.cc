// Goal: /v1/responses reads what its clients send and answers in their shape; what is kept is
// bounded and nobody else's. Method: the readers and the answer by themselves.
#include <gtest/gtest.h>

#include "server/responses_answer.h"
#include "server/responses_request.h"
#include "server/test_reply.h"
#include "tokenizer/load_tokenizer.h"

namespace fathom {
namespace {

std::optional<ApiError> parse(const std::string& text, ResponsesRequest& out,
                              const Json& earlier = {}) {
  const Result<Json> body = parse_json(text);
  EXPECT_TRUE(body.ok()) << text;
  return parse_responses_request(*body, earlier, {}, 1000, out);
}
ResponsesRequest accepted(const std::string& text, const Json& earlier = {}) {
  ResponsesRequest out;
  const auto error = parse(text, out, earlier);
  EXPECT_FALSE(error.has_value()) << error->message;
  return out;
}
std::string refused(const std::string& text) {
  ResponsesRequest out;
  const auto error = parse(text, out);
  return error ? error->param : "accepted";
}

TEST(ResponsesRequest, BecomesAConversation) {
  const ResponsesRequest read = accepted(R"({"instructions": "Be kind.", "input": [
      {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]},
      {"type": "reasoning", "summary": []},
      {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "c"}]},
      {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
      {"type": "function_call", "call_id": "2", "name": "g", "arguments": "{}"},
      {"type": "function_call_output", "call_id": "2", "output": "7"}],
      "max_output_tokens": 9, "reasoning": {"effort": "high"}, "store": false,
      "text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "integer"}}}})");
  const Json::Array& messages = read.messages.as_array();
  ASSERT_EQ(messages.size(), 3u);
  EXPECT_EQ(messages[0].find("content")->as_string(), "ab");
  EXPECT_EQ(messages[1].find("content")->as_string(), "c");
  EXPECT_EQ(messages[1].find("tool_calls")->as_array().size(), 2u);
  EXPECT_EQ(messages[2].find("role")->as_string(), "tool");
  const Json::Array& seen = read.chat.context.find("messages")->as_array();
  ASSERT_EQ(seen.size(), 4u);
  EXPECT_EQ(seen[0].find("role")->as_string(), "system");
  EXPECT_EQ(read.chat.generation.request.max_tokens, 9);
  EXPECT_NE(read.chat.generation.request.grammar, nullptr);
  EXPECT_TRUE(read.chat.context.find("thinking")->as_bool());
  EXPECT_FALSE(read.store);
}

TEST(ResponsesRequest, GoesOnFromAnEarlierOne) {
  const Json earlier = *parse_json(R"([{"role": "user", "content": "a"},
      {"role": "assistant", "content": "b"}])");
  const ResponsesRequest read = accepted(R"({"input": "c"})", earlier);
  EXPECT_EQ(read.messages.as_array().size(), 3u);
  EXPECT_EQ(read.input_items.as_array().size(), 1u);
}

TEST(ResponsesRequest, ToolsAreFlat) {
  const std::string tools = R"("input": "a", "tools": [{"type": "function", "name": "f",
      "parameters": {"type": "object"}, "strict": true}])";
  EXPECT_TRUE(accepted("{" + tools + R"(, "tool_choice": "auto"})").chat.parses_calls);
  EXPECT_EQ(accepted("{" + tools + R"(, "tool_choice": {"type": "function", "name": "f"}})")
                .chat.forced_calls->names,
            std::vector<std::string>{"f"});
  EXPECT_FALSE(accepted(R"({"input": "a", "tools": [], "tool_choice": "auto"})").chat.parses_calls);
  EXPECT_EQ(refused(R"({"input": "a", "tools": [{"type": "web_search"}]})"), "tools[0].type");
}

TEST(ResponsesRequest, WhatIsWrongIsNamed) {
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"{}", "input"},
      {R"({"input": []})", "input"},
      {R"({"input": 5})", "input"},
      {R"({"input": [{"role": "user"}]})", "input[0].content"},
      {R"({"input": [{"role": "robot", "content": "a"}]})", "input[0].role"},
      {R"({"input": [{"type": "item_reference", "id": "x"}]})", "input[0].type"},
      {R"({"input": [{"role": "user", "content": [{"type": "input_image"}]}]})",
       "input[0].content[0].type"},
      {R"({"input": "a", "max_output_tokens": 0})", "max_output_tokens"},
      {R"({"input": "a", "truncation": "auto"})", "truncation"},
      {R"({"input": "a", "conversation": "x"})", "conversation"},
      {R"({"input": "a", "background": true, "stream": true})", "stream"},
      {R"({"input": "a", "background": true, "store": false})", "background"},
      {R"({"input": "a", "temperature": 3})", "temperature"},
  };
  for (const auto& [text, param] : wrong) EXPECT_EQ(refused(text), param) << text;
}

const std::string kCall =
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"x\": 1}"
    "<｜tool▁call▁end｜><｜tool▁calls▁end｜>";

struct Answered {
  std::shared_ptr<RecordedReply> reply = std::make_shared<RecordedReply>();
  std::shared_ptr<ResponseStore> store = std::make_shared<ResponseStore>();
};

Answered answer(bool stream, const std::vector<std::string>& pieces, FinishReason finish) {
  Answered out;
  ResponsesAnswerOptions options;
  options.head.id = "resp_1";
  options.parser = {.in_reasoning = true, .parses_calls = true};
  options.n_prompt = 9;
  options.stream = stream;
  options.store = out.store;
  options.owner = "me";
  options.shown = Json::Object{{"temperature", 1.0}};
  options.messages = *parse_json(R"([{"role": "user", "content": "a"}])");
  const auto tokenizer =
      load_tokenizer(ModelFiles::open_folder(FATHOM_TESTDATA "/../models/default").value()).value();
  ResponsesAnswer made(tokenizer, options, out.reply);
  EXPECT_EQ(made.begin().find("status")->as_string(), "in_progress");
  for (size_t i = 0; i < pieces.size(); ++i) {
    TokenEvent event;
    event.token = 0;
    event.text = pieces[i];
    if (i + 1 == pieces.size()) event.finish = finish;
    made.on_token(0, event);
  }
  return out;
}

TEST(ResponsesAnswer, HasItemsInOrderAndIsKept) {
  const Answered out =
      answer(false, {"hm", "</think>Let me", " see." + kCall}, FinishReason::kStop);
  const Json json = *parse_json(out.reply->body);
  EXPECT_EQ(json.find("status")->as_string(), "completed");
  EXPECT_EQ(json.find("temperature")->as_double(), 1.0);
  const Json::Array& items = json.find("output")->as_array();
  ASSERT_EQ(items.size(), 3u);
  EXPECT_EQ(items[0].find("type")->as_string(), "reasoning");
  EXPECT_EQ(items[1].find("content")->as_array()[0].find("text")->as_string(), "Let me see.");
  EXPECT_EQ(items[2].find("arguments")->as_string(), "{\"x\": 1}");
  EXPECT_EQ(json.find("usage")->find("total_tokens")->as_int(), 12);
  const auto kept = out.store->find("me", "resp_1");
  ASSERT_TRUE(kept.has_value());
  EXPECT_EQ(kept->response.dump(), json.dump());
  const Json& last = kept->messages.as_array().back();
  EXPECT_EQ(last.find("content")->as_string(), "Let me see.");
  EXPECT_EQ(last.find("tool_calls")->as_array().size(), 1u);
  EXPECT_FALSE(out.store->find("you", "resp_1").has_value());
}

TEST(ResponsesAnswer, StreamsTheSameInNamedEvents) {
  const Answered out = answer(true, {"hm", "</think>Let", " me" + kCall}, FinishReason::kLength);
  EXPECT_TRUE(out.reply->ended);
  EXPECT_EQ(out.reply->event_names(),
            (std::vector<std::string>{"response.created",
                                      "response.in_progress",
                                      "response.output_item.added",
                                      "response.content_part.added",
                                      "response.reasoning_text.delta",
                                      "response.reasoning_text.done",
                                      "response.content_part.done",
                                      "response.output_item.done",
                                      "response.output_item.added",
                                      "response.content_part.added",
                                      "response.output_text.delta",
                                      "response.output_text.delta",
                                      "response.output_text.done",
                                      "response.content_part.done",
                                      "response.output_item.done",
                                      "response.output_item.added",
                                      "response.function_call_arguments.delta",
                                      "response.function_call_arguments.done",
                                      "response.output_item.done",
                                      "response.incomplete"}));
  EXPECT_NE(out.reply->body.find(R"("sequence_number":19)"), std::string::npos);
}

TEST(ResponsesAnswer, ACancelledOneSaysSo) {
  const Answered out = answer(false, {"</think>Let", ""}, FinishReason::kCancelled);
  EXPECT_EQ(out.store->find("me", "resp_1")->response.find("status")->as_string(), "cancelled");
}

TEST(ResponseStore, ForgetsTheOldest) {
  ResponseStore store;
  const auto one = [](size_t n_bytes) {
    StoredResponse out;
    out.response = std::string(n_bytes, 'x');
    return out;
  };
  for (size_t i = 0; i <= ResponseStore::kResponsesMax; ++i)
    store.put("", std::to_string(i), one(10));
  EXPECT_FALSE(store.find("", "0").has_value());
  EXPECT_TRUE(store.find("", "1").has_value());
  store.set_ticket("", "5", 77);
  store.put("", "5", one(10));
  EXPECT_EQ(store.find("", "5")->ticket, 77);
  EXPECT_TRUE(store.erase("", "5"));
  EXPECT_FALSE(store.erase("", "5"));
  store.put("", "big", one(ResponseStore::kBytesMax - 1000));
  EXPECT_TRUE(store.find("", "big").has_value());
  EXPECT_FALSE(store.find("", "2").has_value());
  store.put("", "too big", one(ResponseStore::kBytesMax + 1));
  EXPECT_FALSE(store.find("", "too big").has_value());
  EXPECT_TRUE(store.find("", "big").has_value());
}

}  // namespace
}  // namespace fathom
