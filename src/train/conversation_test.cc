// Goal: no conversation that a template would pass over or stumble on reaches it. Method: one fault
// in each place, and what must stay allowed.
#include "train/conversation.h"

#include <gtest/gtest.h>

#include <string>

namespace fathom {
namespace {

Result<Json> conversation(const std::string& line) {
  return conversation_of(parse_json(line).value());
}

// Of a user's message and then this one.
std::string error_of(const std::string& message) {
  const auto out =
      conversation(R"({"messages": [{"role": "user", "content": "a"}, )" + message + "]}");
  return out.ok() ? "" : out.error().message;
}

TEST(Conversation, WhatTheTemplateGets) {
  const auto out = conversation(R"({"id": 3, "text": null, "messages": [
      {"role": "system", "content": ""}, {"role": "user", "content": "a", "name": "ann"},
      {"role": "assistant", "tool_calls": [
        {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}},
        {"type": "function", "function": {"name": "g", "arguments": "{}"}}]},
      {"role": "tool", "content": "42"}, {"role": "assistant", "content": "b", "tool_calls": null}],
      "tools": [{"type": "function"}]})");
  ASSERT_TRUE(out.ok()) << out.error().message;
  EXPECT_EQ(out->find("id"), nullptr);
  EXPECT_EQ(out->find("tools")->as_array().size(), 1u);
  const Json::Array& messages = out->find("messages")->as_array();
  ASSERT_EQ(messages.size(), 5u);
  EXPECT_EQ(messages[1].find("name")->as_string(), "ann");
  ASSERT_NE(messages[2].find("content"), nullptr);
  EXPECT_TRUE(messages[2].find("content")->is_null()) << "left out is null";
  EXPECT_EQ(conversation(R"({"messages": [{"role": "user", "content": "a"}], "tools": null})")
                ->find("tools"),
            nullptr);
}

TEST(Conversation, ErrorsNameTheField) {
  const auto call = [](const std::string& function) {
    return R"({"role": "assistant", "content": null, "tool_calls": [{"function": )" + function +
           "}]}";
  };
  for (const auto& [message, what] : {
           std::pair<std::string, std::string>{"\"x\"", "messages[1] is a string"},
           {R"({"content": "x"})", "messages[1].role is missing"},
           {R"({"role": 5, "content": "x"})", "messages[1].role is an integer"},
           {R"({"role": "foo", "content": "x"})", "messages[1].role is \"foo\""},
           {R"({"role": "user"})", "messages[1].content is missing"},
           {R"({"role": "user", "content": 5})", "messages[1].content is an integer"},
           {R"({"role": "tool", "content": null})", "messages[1].content is null"},
           {R"({"role": "assistant", "content": null})", "messages[1].content is null"},
           {R"({"role": "assistant", "tool_calls": []})", "messages[1].content is missing"},
           {R"({"role": "user", "content": "x", "tool_calls": []})", "messages[1].tool_calls"},
           {R"({"role": "assistant", "tool_calls": "f"})", "messages[1].tool_calls is a string"},
           {call("3"), "messages[1].tool_calls[0].function is an integer"},
           {call("{}"), "messages[1].tool_calls[0].function.name is missing"},
           {call(R"({"name": "f", "arguments": 3})"),
            "messages[1].tool_calls[0].function.arguments is an integer"},
       }) {
    const std::string error = error_of(message);
    EXPECT_TRUE(error.starts_with(what)) << message << ": " << error;
  }
  EXPECT_TRUE(conversation(R"({"messages": []})").error().message.starts_with("messages is empty"));
  EXPECT_TRUE(conversation(R"({"messages": 5})").error().message.starts_with("messages is an int"));
  EXPECT_TRUE(conversation(R"({"messages": [{"role": "user", "content": "a"}], "tools": "t"})")
                  .error()
                  .message.starts_with("tools is a string"));
}

}  // namespace
}  // namespace fathom
