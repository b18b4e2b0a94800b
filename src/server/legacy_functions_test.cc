// Goal: OpenAI's older functions mean the same as tools. Method: one request in both spellings, and
// what is wrong by the names that the client gave.
#include "server/legacy_functions.h"

#include <gtest/gtest.h>

#include "server/chat_messages.h"
#include "server/chat_request.h"

namespace fathom {
namespace {

Json json(const std::string& text) {
  Result<Json> parsed = parse_json(text);
  EXPECT_TRUE(parsed.ok()) << text;
  return std::move(parsed).value();
}

constexpr const char* kHi = R"({"messages": [{"role": "user", "content": "Hi"}], )";
constexpr const char* kFunctions =
    R"("functions": [{"name": "f", "parameters": {"type": "object"}}, {"name": "g"}])";

ChatRequest read(const std::string& text) {
  ChatRequest out;
  const auto error = parse_chat_request(json(text), {}, 1000, out);
  EXPECT_FALSE(error.has_value()) << text << error->message;
  return out;
}

TEST(LegacyFunctions, AreTools) {
  const ChatRequest older = read(std::string(kHi) + kFunctions + "}");
  const ChatRequest newer =
      read(std::string(kHi) +
           R"("tools": [{"type": "function", "function": {"name": "f", "parameters":
          {"type": "object"}}}, {"type": "function", "function": {"name": "g"}}]})");
  EXPECT_EQ(older.context.dump(), newer.context.dump());
  EXPECT_TRUE(older.legacy_functions && older.parses_calls);
  EXPECT_FALSE(newer.legacy_functions);
  const auto choice = [](const std::string& function_call) {
    return read(std::string(kHi) + kFunctions + R"(, "function_call": )" + function_call + "}");
  };
  EXPECT_FALSE(choice("\"auto\"").forced_calls.has_value());
  EXPECT_FALSE(choice("\"none\"").parses_calls);
  EXPECT_EQ(choice(R"({"name": "g"})").forced_calls->names, std::vector<std::string>{"g"});
  EXPECT_FALSE(read(std::string(kHi) + R"("function_call": "none"})").parses_calls);
}

TEST(LegacyFunctions, MessagesHoldCallsAndResults) {
  const ChatRequest read_messages = read(R"({"messages": [{"role": "user", "content": "Hi"},
      {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{}"}},
      {"role": "function", "name": "f", "content": "1"},
      {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "[]"}},
      {"role": "function", "name": "f", "content": "2"}]})");
  const Json::Array& list = read_messages.context.find("messages")->as_array();
  const auto id = [&](size_t i) {
    return list[i].find("tool_calls")->as_array()[0].find("id")->as_string();
  };
  EXPECT_NE(id(1), id(3));
  for (const size_t i : {size_t{2}, size_t{4}}) {
    EXPECT_EQ(list[i].find("role")->as_string(), "tool");
    EXPECT_EQ(list[i].find("tool_call_id")->as_string(), id(i - 1));
  }
  EXPECT_FALSE(read_messages.legacy_functions);  // there is nothing to call
}

TEST(LegacyFunctions, WhatIsWrongIsNamedAsTheClientDid) {
  const std::string call = R"({"role": "assistant", "function_call": )";
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {std::string(kHi) + R"("functions": []})", "functions"},
      {std::string(kHi) + R"("functions": 5})", "functions"},
      {std::string(kHi) + R"("functions": [5]})", "functions[0]"},
      {std::string(kHi) + R"("functions": [{"name": "a b"}]})", "functions[0].name"},
      {std::string(kHi) + R"("functions": [{"name": "a", "parameters": 5}]})",
       "functions[0].parameters"},
      {std::string(kHi) + R"("function_call": "auto"})", "function_call"},
      {std::string(kHi) + kFunctions + R"(, "function_call": "always"})", "function_call"},
      {std::string(kHi) + kFunctions + R"(, "function_call": {"name": "h"}})",
       "function_call.name"},
      {std::string(kHi) + kFunctions + R"(, "tools": []})", "functions"},
      {std::string(kHi) + kFunctions + R"(, "tool_choice": "auto"})", "functions"},
      {R"({"messages": [{"role": "function", "name": "f", "content": "1"}]})", "messages[0].name"},
      {"{\"messages\": [" + call + "5}]}", "messages[0].function_call"},
      {"{\"messages\": [" + call + R"({"name": 5}}]})", "messages[0].function_call.name"},
      {"{\"messages\": [" + call + R"({"name": "f"}, "tool_calls": []}]})",
       "messages[0].function_call"},
  };
  for (const auto& [text, param] : wrong) {
    ChatRequest out;
    const auto error = parse_chat_request(json(text), {}, 1000, out);
    ASSERT_TRUE(error.has_value()) << text;
    EXPECT_EQ(error->param, param) << text << error->message;
    if (text.find("tool") == std::string::npos) {
      EXPECT_EQ(error->message.find("tools"), std::string::npos) << error->message;
    }
  }
}

TEST(LegacyFunctions, TooManyMessagesAreNotRewritten) {
  std::string many = R"({"messages": [{"role": "function", "name": "f", "content": "1"})";
  for (size_t i = 0; i < kMessagesMax; ++i) many += R"(, {"role": "user", "content": "Hi"})";
  ChatRequest out;
  const auto error = parse_chat_request(json(many + "]}"), {}, 1000, out);
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->param, "messages") << error->message;
}

TEST(LegacyFunctions, NamesOfTheClientStayAsTheyAre) {
  const auto renamed = [](std::string_view param, const std::string& message) {
    return with_legacy_names(invalid_request(param, message));
  };
  const std::string of_a_name = "the parameters of my_tools: tools is no type";
  EXPECT_EQ(renamed("tools", of_a_name).message, of_a_name);
  EXPECT_EQ(renamed("tools", of_a_name).param, "functions");
  EXPECT_EQ(renamed("tools", "tools is empty").message, "functions is empty");
  EXPECT_EQ(renamed("tool_choice.function.name", "tool_choice.function.name is \"a\"").message,
            "function_call.name is \"a\"");
}

}  // namespace
}  // namespace fathom
