// Goal: Anthropic's shape of a chat is read as the other one, and answered in its own.
#include <gtest/gtest.h>

#include "server/messages_answer.h"
#include "server/messages_request.h"
#include "server/test_reply.h"

namespace fathom {
namespace {

ChatRequest accepted(const std::string& text) {
  ChatRequest out;
  const auto error = parse_messages_request(*parse_json(text), {}, 1000, out);
  EXPECT_FALSE(error.has_value()) << error->message;
  return out;
}

std::string refused(const std::string& text) {
  ChatRequest out;
  const auto error = parse_messages_request(*parse_json(text), {}, 1000, out);
  return error ? error->param : "accepted";
}

TEST(MessagesRequest, BlocksBecomeMessages) {
  const ChatRequest read =
      accepted(R"({"max_tokens": 5, "system": [{"type": "text", "text": "Be kind."}],
      "stop_sequences": ["END"], "tools": [{"name": "f", "input_schema": {"type": "object"}}], "messages": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": ""},
          {"type": "text", "text": "b"}, {"type": "tool_use", "id": "c1", "name": "f", "input": {"x": 1}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1",
          "content": [{"type": "text", "text": "42"}]}, {"type": "text", "text": "so?"}]}]})");
  const Json& list = *read.context.find("messages");
  ASSERT_EQ(list.as_array().size(), 5u);
  EXPECT_EQ(list.as_array()[0].find("role")->as_string(), "system");
  EXPECT_EQ(list.as_array()[2].find("tool_calls")->dump(),
            R"([{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}])");
  EXPECT_EQ(list.as_array()[3].find("content")->as_string(), "42");
  EXPECT_EQ(list.as_array()[4].find("content")->as_string(), "so?");
  EXPECT_EQ(read.generation.request.stop, (std::vector<std::string>{"END"}));
  EXPECT_EQ(read.generation.request.max_tokens, 5);
  EXPECT_TRUE(read.parses_calls);
}

TEST(MessagesRequest, ALastAnswerIsGoneOnWith) {
  const ChatRequest read = accepted(R"({"max_tokens": 5, "messages": [
      {"role": "user", "content": "a"}, {"role": "assistant", "content": "I"}]})");
  EXPECT_TRUE(read.conversation.continues);
  EXPECT_EQ(read.conversation.beginning, "I");
}

TEST(MessagesRequest, CallsAreForcedAsAsked) {
  const auto read = [](const std::string& choice) {
    return accepted(R"({"max_tokens": 5, "messages": [{"role": "user", "content": "a"}],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}], "tool_choice": )" +
                    choice + "}");
  };
  EXPECT_FALSE(read(R"({"type": "auto"})").forced_calls.has_value());
  EXPECT_GT(read(R"({"type": "any"})").forced_calls->calls_max, 1);
  EXPECT_EQ(read(R"({"type": "any", "disable_parallel_tool_use": true})").forced_calls->calls_max,
            1);
  EXPECT_EQ(read(R"({"type": "tool", "name": "f"})").forced_calls->names,
            std::vector<std::string>{"f"});
}

TEST(MessagesRequest, WhatIsWrongIsNamed) {
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {R"({"messages": [{"role": "user", "content": "a"}]})", "max_tokens"},
      {R"({"max_tokens": 5})", "messages"},
      {R"({"max_tokens": 5, "messages": [{"role": "system", "content": "a"}]})",
       "messages[0].role"},
      {R"({"max_tokens": 5, "messages": [{"role": "user"}]})", "messages[0].content"},
      {R"({"max_tokens": 5, "messages": [{"role": "user", "content": [{"type": "image"}]}]})",
       "messages[0].content[0].type"},
      {R"({"max_tokens": 5, "messages": [{"role": "user", "content": "a"}],
          "tool_choice": {"type": "some"}})",
       "tool_choice.type"},
      {R"({"max_tokens": 5, "messages": [{"role": "user", "content": "a"}],
          "tool_choice": {"type": "any"}})",
       "tool_choice"},
      {R"({"max_tokens": 0, "messages": [{"role": "user", "content": "a"}]})", "max_tokens"},
  };
  for (const auto& [text, param] : wrong) EXPECT_EQ(refused(text), param) << text;
}

const std::string kCall =
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"x\": 1}"
    "<｜tool▁call▁end｜><｜tool▁calls▁end｜>";

std::shared_ptr<RecordedReply> answer(bool stream, const std::vector<std::string>& pieces,
                                      const std::string& stop = "") {
  auto reply = std::make_shared<RecordedReply>();
  MessagesAnswerOptions options;
  options.head.id = "msg_1";
  options.head.model = "m";
  options.parser = {.in_reasoning = true, .parses_calls = true};
  options.n_prompt = 9;
  options.stream = stream;
  MessagesAnswer made(options, reply);
  for (size_t i = 0; i < pieces.size(); ++i) {
    TokenEvent event;
    event.token = 5;
    event.text = pieces[i];
    if (i + 1 == pieces.size()) {
      event.finish = FinishReason::kStop;
      event.stop = stop;
    }
    made.on_token(0, event);
  }
  EXPECT_EQ(reply->ended, stream);
  return reply;
}

std::string body_of(const std::vector<std::string>& pieces, const std::string& stop = "") {
  return answer(false, pieces, stop)->body;
}

TEST(MessagesAnswer, HasBlocksInOrder) {
  const Json json = *parse_json(body_of({"hm", "</think>Let me", " see." + kCall}));
  const Json& content = *json.find("content");
  ASSERT_EQ(content.as_array().size(), 3u);
  EXPECT_EQ(content.as_array()[0].dump(), R"({"type":"thinking","thinking":"hm","signature":""})");
  EXPECT_EQ(content.as_array()[1].dump(), R"({"type":"text","text":"Let me see."})");
  EXPECT_EQ(content.as_array()[2].find("input")->dump(), R"({"x":1})");
  EXPECT_EQ(json.find("stop_reason")->as_string(), "tool_use");
  EXPECT_EQ(json.find("usage")->find("output_tokens")->as_int(), 3);
  EXPECT_EQ(json.find("usage")->find("input_tokens")->as_int(), 9);
  const Json stopped = *parse_json(body_of({"</think>a"}, "END"));
  EXPECT_EQ(stopped.find("stop_reason")->as_string(), "stop_sequence");
  EXPECT_EQ(stopped.find("stop_sequence")->as_string(), "END");
}

TEST(MessagesAnswer, StreamsTheSameInNamedEvents) {
  const auto reply = answer(true, {"hm", "</think>Let", " me" + kCall});
  EXPECT_EQ(reply->event_names(),
            (std::vector<std::string>{
                "message_start", "content_block_start", "content_block_delta", "content_block_stop",
                "content_block_start", "content_block_delta", "content_block_delta",
                "content_block_stop", "content_block_start", "content_block_delta",
                "content_block_stop", "message_delta", "message_stop"}));
  EXPECT_NE(reply->body.find(R"("partial_json":"{\"x\": 1}")"), std::string::npos);
}

}  // namespace
}  // namespace fathom
