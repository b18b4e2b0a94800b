// Goal: requests say what was asked for, and the pieces of every server that we know are
// understood. Method: bodies read back; events as OpenAI, vLLM, llama.cpp and DeepSeek write them.
#include "load/api.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

Json line(const char* text) { return parse_json(text).value(); }

TEST(LoadApi, ABodyAsksForAStreamWithUsage) {
  const AskOptions options{LoadEndpoint::kChat, "m", 0, false};
  EXPECT_EQ(
      request_body(options, prompt_of_text(LoadEndpoint::kChat, "Hi \"you\""), 5, 1).dump(),
      R"({"model":"m","max_tokens":5,"temperature":0.0,"messages":[{"role":"user","content":"Hi \"you\""}],)"
      R"("stream":true,"stream_options":{"include_usage":true}})");
  const AskOptions sampled{LoadEndpoint::kCompletions, "m", 0.5, true};
  const Json body = request_body(sampled, prompt_of_text(LoadEndpoint::kCompletions, "Hi"), 5, 1);
  EXPECT_EQ(body.find("prompt")->as_string(), "Hi");
  EXPECT_TRUE(body.find("ignore_eos")->as_bool());
  EXPECT_EQ(body.find("min_tokens")->as_int(), 5);
  EXPECT_TRUE(body.find("seed")->is_int());
}

TEST(LoadApi, WhatALineSaysCounts) {
  const AskOptions options{LoadEndpoint::kChat, "m", 0, true};
  const Json body = request_body(
      options,
      line(R"({"messages": [], "max_tokens": 9, "temperature": 1, "model": "x", "stream": false})"),
      5, 1);
  EXPECT_EQ(body.find("max_tokens")->as_int(), 9);
  EXPECT_EQ(body.find("temperature")->as_int(), 1);
  EXPECT_EQ(body.find("model")->as_string(), "m");
  EXPECT_TRUE(body.find("stream")->as_bool());
  EXPECT_EQ(body.find("min_tokens"), nullptr);  // it would not fit the line's own length
}

TEST(LoadApi, LinesAreMadeToFitTheEndpoint) {
  constexpr auto kChat = LoadEndpoint::kChat, kCompletions = LoadEndpoint::kCompletions;
  const auto chat = prompt_of_line(kChat, line(R"({"prompt": "a", "top_p": 0.5})"), "f, line 1");
  ASSERT_TRUE(chat.ok());
  EXPECT_EQ(chat->dump(), R"({"messages":[{"role":"user","content":"a"}],"top_p":0.5})");
  EXPECT_TRUE(prompt_of_line(kCompletions, line(R"({"prompt": [1, 2]})"), "").ok());
  for (const char* bad : {"3", "{}", R"({"messages": 3})", R"({"prompt": [1]})",
                          R"({"prompt": "a", "messages": []})"}) {
    const auto made = prompt_of_line(kChat, line(bad), "f, line 7");
    ASSERT_FALSE(made.ok()) << bad;
    EXPECT_EQ(made.error().message.find("f, line 7: "), 0u) << made.error().message;
  }
  EXPECT_FALSE(prompt_of_line(kCompletions, line(R"({"messages": []})"), "").ok());
}

TEST(LoadApi, PiecesOfTheServersThatWeKnow) {
  const auto piece = [](const char* text) { return parse_answer_piece(text).value(); };
  EXPECT_TRUE(piece("[DONE]").is_done);
  const AnswerPiece role = piece(R"({"choices":[{"delta":{"role":"assistant","content":""}}]})");
  EXPECT_EQ(role.text, "");
  EXPECT_FALSE(role.is_finished);
  EXPECT_EQ(piece(R"({"choices":[{"delta":{"content":" a"},"finish_reason":null}]})").text, " a");
  EXPECT_EQ(piece(R"({"choices":[{"delta":{"reasoning_content":"r","reasoning":"r"}}]})").text,
            "r");
  EXPECT_EQ(piece(R"({"choices":[{"text":"t","finish_reason":"length"}]})").text, "t");
  EXPECT_TRUE(piece(R"({"choices":[{"text":"t","finish_reason":"length"}]})").is_finished);
  EXPECT_EQ(
      piece(R"({"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":"{"}}]}}]})")
          .text,
      "f{");
  EXPECT_EQ(piece(R"({"error":{"message":"no room"}})").error, "no room");
  EXPECT_EQ(piece(R"({"choices":[],"error":null})").error, "");
  for (const char* bad : {"", "{", "3", "[DONE] "})
    EXPECT_FALSE(parse_answer_piece(bad).ok()) << bad;
}

TEST(LoadApi, UsageInTheShapesOfTheServers) {
  const auto usage = [](const char* text) { return *parse_answer_piece(text).value().usage; };
  const TokenUsage openai = usage(
      R"({"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":3}}})");
  EXPECT_EQ(openai.prompt_tokens, 9);
  EXPECT_EQ(openai.completion_tokens, 4);
  EXPECT_EQ(openai.cached_tokens, 3);
  EXPECT_EQ(usage(R"({"usage":{"prompt_tokens":9,"prompt_cache_hit_tokens":5}})").cached_tokens, 5);
  EXPECT_EQ(usage(R"({"usage":{"prompt_tokens":9},"timings":{"cache_n":6}})").cached_tokens, 6);
  EXPECT_EQ(usage(R"({"usage":{"prompt_tokens":-9,"completion_tokens":1.5}})").prompt_tokens, 0);
}

TEST(LoadApi, ErrorsInTheShapesOfTheServers) {
  EXPECT_EQ(error_of_body(R"({"error":{"message":"m","code":3}})"), "m");
  EXPECT_EQ(error_of_body(R"({"error":"m"})"), "m");
  EXPECT_EQ(error_of_body(R"({"detail":"m"})"), "m");
  EXPECT_EQ(error_of_body("<html>\n"), "<html>\\n");
  EXPECT_EQ(error_of_body(""), "");
  EXPECT_EQ(*first_model_of(R"({"data":[{"id":"a"},{"id":"b"}]})"), "a");
  for (const char* bad : {"", "[]", R"({"data":[]})", R"({"data":[{"id":3}]})", R"({"data":[7]})"})
    EXPECT_FALSE(first_model_of(bad).ok()) << bad;
}

}  // namespace
}  // namespace fathom
