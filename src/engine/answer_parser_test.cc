// Goal: answers are taken apart as the templates put them together, and the same however they are
// cut into pieces. Method: texts of each form, at once and in pieces of every size.
#include "engine/answer_parser.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

using Kind = AnswerPart::Kind;
using Pairs = std::vector<std::pair<Kind, std::string>>;

// With neighbours of one kind joined; a call is never joined.
Pairs parse(const std::string& text, const AnswerParserOptions& options, size_t piece) {
  AnswerParser parser(options);
  std::vector<AnswerPart> parts;
  for (size_t i = 0; i < text.size(); i += piece) parser.push(text.substr(i, piece), parts);
  parser.finish(parts);
  Pairs out;
  for (AnswerPart& part : parts) {
    if (!out.empty() && out.back().first == part.kind && part.kind != Kind::kCall) {
      out.back().second += part.text;
    } else {
      out.emplace_back(part.kind, part.text);
    }
  }
  return out;
}

void expect(const std::string& text, const AnswerParserOptions& options, const Pairs& expected) {
  for (const size_t piece : {size_t{1000}, size_t{1}, size_t{2}, size_t{3}, size_t{7}, size_t{19}})
    EXPECT_EQ(parse(text, options, piece), expected) << text << " in pieces of " << piece;
}

constexpr AnswerParserOptions kPlain = {};
constexpr AnswerParserOptions kThinking = {.in_reasoning = true};
constexpr AnswerParserOptions kTools = {.parses_calls = true};

TEST(AnswerParser, Reasoning) {
  expect("Hello <b>", kPlain, {{Kind::kContent, "Hello <b>"}});
  expect("", kThinking, {});
  expect("I think</think>So", kThinking, {{Kind::kReasoning, "I think"}, {Kind::kContent, "So"}});
  expect("I think", kThinking, {{Kind::kReasoning, "I think"}});
  expect("<think>a</think>b", kPlain, {{Kind::kReasoning, "a"}, {Kind::kContent, "b"}});
  expect("x <think> y", kPlain, {{Kind::kContent, "x <think> y"}});
  expect("a</think>b</think>c", kThinking,
         {{Kind::kReasoning, "a"}, {Kind::kContent, "b</think>c"}});
  expect("a</thi", kThinking, {{Kind::kReasoning, "a</thi"}});
  expect("<think>a</think>b", {.splits_reasoning = false}, {{Kind::kContent, "<think>a</think>b"}});
}

TEST(AnswerParser, PromptsThatOpenReasoning) {
  EXPECT_TRUE(opens_reasoning("<｜Assistant｜><think>"));
  EXPECT_TRUE(opens_reasoning("<think>\n"));
  EXPECT_FALSE(opens_reasoning("<think></think>"));
  EXPECT_FALSE(opens_reasoning(" \n"));
}

const std::string kCalls = "<｜tool▁calls▁begin｜>", kCallsEnd = "<｜tool▁calls▁end｜>";
const std::string kCall = "<｜tool▁call▁begin｜>", kCallEnd = "<｜tool▁call▁end｜>";
const std::string kSep = "<｜tool▁sep｜>";

TEST(AnswerParser, CallsOfV31) {
  expect("Let me see." + kCalls + kCall + "weather" + kSep + "{\"city\": \"Rome\"}" + kCallEnd +
             kCall + "time" + kSep + "{}" + kCallEnd + kCallsEnd,
         kTools,
         {{Kind::kContent, "Let me see."},
          {Kind::kCall, "weather"},
          {Kind::kArguments, "{\"city\": \"Rome\"}"},
          {Kind::kCall, "time"},
          {Kind::kArguments, "{}"}});
}

TEST(AnswerParser, CallsOfV3) {
  const std::string call =
      kCall + "function" + kSep + "weather\n```json\n{\"a\": \"```\\n\"}\n```" + kCallEnd;
  expect(kCalls + call + "\n" + call + kCallsEnd, kTools,
         {{Kind::kCall, "weather"},
          {Kind::kArguments, "{\"a\": \"```\\n\"}"},
          {Kind::kCall, "weather"},
          {Kind::kArguments, "{\"a\": \"```\\n\"}"}});
}

TEST(AnswerParser, CallsOfKimi) {
  expect(
      "<|tool_calls_section_begin|><|tool_call_begin|>functions.weather:0<|tool_call_argument_"
      "begin|>"
      "{\"a\":1}<|tool_call_end|><|tool_calls_section_end|>",
      kTools, {{Kind::kCall, "weather"}, {Kind::kArguments, "{\"a\":1}"}});
}

TEST(AnswerParser, WhatIsNoCallStaysContent) {
  expect(kCalls + kCall + "weather" + kSep, kPlain,
         {{Kind::kContent, kCalls + kCall + "weather" + kSep}});
  expect(kCalls + kCall + "weather", kTools, {{Kind::kContent, kCalls + kCall + "weather"}});
  expect(kCalls + kCall + "weather" + kCallEnd + " so", kTools,
         {{Kind::kContent, kCalls + kCall + "weather" + kCallEnd + " so"}});
  expect(kCalls + kCallsEnd + kCalls, kTools, {{Kind::kContent, kCalls + kCallsEnd + kCalls}});
  expect("I would write " + kCalls.substr(0, 9), kTools,
         {{Kind::kContent, "I would write " + kCalls.substr(0, 9)}});
  // Inside reasoning nothing is called.
  expect(kCalls + kCall + "a" + kSep + "</think>b", {.in_reasoning = true, .parses_calls = true},
         {{Kind::kReasoning, kCalls + kCall + "a" + kSep}, {Kind::kContent, "b"}});
}

TEST(AnswerParser, ArgumentsThatAreCutOff) {
  expect(kCalls + kCall + "weather" + kSep + "{\"city\": \"Ro", kTools,
         {{Kind::kCall, "weather"}, {Kind::kArguments, "{\"city\": \"Ro"}});
  expect(kCalls + kCall + "function" + kSep + "weather\n```js", kTools, {{Kind::kCall, "weather"}});
}

}  // namespace
}  // namespace fathom
