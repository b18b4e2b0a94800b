// Goal: what must have a form has it: JSON, schemas, expressions, calls of tools. Method: the real
// program, whose small model would rather tell a story.
#include <gtest/gtest.h>

#include <string>

#include "tests/e2e/running_server.h"
#include "tests/support/json_path.h"

namespace fathom::test {
namespace {

class ServeForms : public ServerTest {};

TEST_F(ServeForms, ConstrainedAnswersAreWhatWasAskedFor) {
  const auto content = [](const std::string& more) {
    const Json json =
        server_
            ->chat(R"({"messages": [{"role": "user", "content": "Who are you?"}], "seed": 4,
        "max_tokens": 150, )" +
                   more + "}")
            .json();
    EXPECT_EQ(text_at(json, {"choices", "0", "finish_reason"}), "stop") << json.dump();
    return text_at(json, {"choices", "0", "message", "content"});
  };
  for (int round = 0; round < 3; ++round) {
    const std::string temperature = "\"temperature\": 0." + std::to_string(3 * round) + ", ";
    const Result<Json> made = parse_json(content(
        temperature +
        R"("response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {
          "type": "object", "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer",
          "minimum": 1, "maximum": 99}, "kind": {"enum": ["fox", "bear"]}}, "required": ["name", "age", "kind"],
          "additionalProperties": false}}})"));
    ASSERT_TRUE(made.ok());
    EXPECT_EQ(made->as_object().size(), 3u);
    EXPECT_TRUE(made->find("age")->is_int());
    EXPECT_TRUE(made->find("kind")->as_string() == "fox" ||
                made->find("kind")->as_string() == "bear");
  }
  const std::string choice = content(R"("guided_choice": ["yes", "no"])");
  EXPECT_TRUE(choice == "yes" || choice == "no");
  const std::string date = content(R"("regex": "[0-9]{4}-[0-9]{2}")");
  EXPECT_EQ(date.size(), 7u);
  EXPECT_EQ(date[4], '-');
}

TEST_F(ServeForms, AFormOfNothingIsAnEmptyAnswer) {
  const HttpAnswer answer = server_->chat(
      R"({"messages": [{"role": "user", "content": "a"}], "regex": "", "ignore_eos": true})");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(text_at(answer.json(), {"choices", "0", "message", "content"}), "");
  EXPECT_EQ(text_at(answer.json(), {"choices", "0", "finish_reason"}), "stop");
}

TEST_F(ServeForms, ForcedCallsAreCalls) {
  const std::string tools = R"("tools": [
      {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties":
        {"city": {"type": "string", "maxLength": 20}}, "required": ["city"]}}},
      {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties":
        {"a": {"type": "integer", "maximum": 99, "minimum": 0}}, "required": ["a"]}}}])";
  const std::string fields =
      R"("messages": [{"role": "user", "content": "How warm is it in Rome?"}],
      "temperature": 0.8, "seed": 3, "max_tokens": 200, )" +
      tools;
  const auto ask = [&](const std::string& more) {
    return server_->chat("{" + fields + ", " + more + "}").json();
  };
  const Json named = ask(R"("tool_choice": {"type": "function", "function": {"name": "add"}})");
  EXPECT_EQ(text_at(named, {"choices", "0", "finish_reason"}), "tool_calls") << named.dump();
  EXPECT_TRUE(at(named, {"choices", "0", "message", "content"}).is_null());
  EXPECT_EQ(at(named, {"choices", "0", "message", "tool_calls"}).as_array().size(), 1u);
  const Json call = at(named, {"choices", "0", "message", "tool_calls", "0"});
  EXPECT_EQ(text_at(call, {"function", "name"}), "add");
  const auto arguments = parse_json(text_at(call, {"function", "arguments"}));
  ASSERT_TRUE(arguments.ok());
  EXPECT_TRUE(at(*arguments, {"a"}).is_int());
  const Json any = ask(R"("tool_choice": "required", "parallel_tool_calls": false)");
  EXPECT_EQ(text_at(any, {"choices", "0", "finish_reason"}), "tool_calls") << any.dump();
  EXPECT_EQ(at(any, {"choices", "0", "message", "tool_calls"}).as_array().size(), 1u);

  const Json message = server_
                           ->ask("POST", "/v1/messages", R"({"max_tokens": 200,
      "messages": [{"role": "user", "content": "Add."}], "tool_choice": {"type": "tool", "name": "add"},
      "tools": [{"name": "add", "input_schema": {"type": "object", "properties": {"a": {"enum": [7]}},
      "required": ["a"]}}]})")
                           .json();
  EXPECT_EQ(text_at(message, {"stop_reason"}), "tool_use") << message.dump();
  EXPECT_EQ(at(message, {"content", "0", "input", "a"}).as_int(), 7);

  const HttpAnswer wrong = server_->chat(
      R"({"messages": [{"role": "user", "content": "?"}], "tool_choice": "required", "tools": [
      {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "not": {}}}}]})");
  EXPECT_EQ(wrong.status, 400);
}

// Calls that the model may make: the one that it is led to begins and ends as the tool's schema
// says, what comes before is its own, and drafts change nothing.
TEST_F(ServeForms, StrictToolsBindCallsThatAreNotForced) {
  const auto id_of = [](const std::string& text) {
    return at(server_
                  ->ask("POST", "/tokenize",
                        "{\"add_special_tokens\": false, \"prompt\": \"" + text + "\"}")
                  .json(),
              {"tokens", "0"})
        .dump();
  };
  const auto body = [&](const std::string& bias) {
    return R"({"messages": [{"role": "user", "content": "Add."}], "temperature": 0.9, "seed": 5,
        "max_tokens": 120, "parallel_tool_calls": false, "stop_token_ids": [)" +
           id_of("<｜tool▁calls▁end｜>") + R"(], "logit_bias": {")" +
           id_of("<｜tool▁calls▁begin｜>") + "\": " + bias + R"(},
        "tools": [{"type": "function", "function": {"name": "add", "strict": true, "parameters": {"type":
        "object", "properties": {"a": {"type": "integer", "minimum": 10, "maximum": 99}, "kind": {"enum":
        ["x", "y"]}}, "required": ["a", "kind"], "additionalProperties": false}}}]})";
  };
  const Json called = server_->chat(body("100")).json();
  EXPECT_EQ(text_at(called, {"choices", "0", "finish_reason"}), "tool_calls") << called.dump();
  const Json& calls = at(called, {"choices", "0", "message", "tool_calls"});
  ASSERT_TRUE(calls.is_array());
  for (const Json& call : calls.as_array()) {
    EXPECT_EQ(text_at(call, {"function", "name"}), "add");
    const auto arguments = parse_json(text_at(call, {"function", "arguments"}));
    ASSERT_TRUE(arguments.ok()) << call.dump();
    EXPECT_GE(at(*arguments, {"a"}).as_int(), 10);
    EXPECT_EQ(at(*arguments, {"kind"}).as_string().size(), 1u);
  }
  // A call that comes late or never leaves the text alone.
  const Json free = server_->chat(body("-100")).json();
  EXPECT_EQ(at(free, {"choices", "0", "message"}).find("tool_calls"), nullptr);
  EXPECT_FALSE(text_at(free, {"choices", "0", "message", "content"}).empty());
  const RunningServer drafting({"--drafts", "on"}), plain({"--drafts", "off"});
  for (const std::string bias : {"100", "10", "-100"}) {
    const auto message = [&](const RunningServer& server) {
      Json made = at(server.chat(body(bias)).json(), {"choices", "0", "message"});
      const Json* const found = made.find("tool_calls");
      if (found == nullptr) return made.dump();
      Json list = *found;
      for (Json& call : list.as_array()) call.set("id", "");
      made.set("tool_calls", std::move(list));
      return made.dump();
    };
    EXPECT_EQ(message(drafting), message(plain)) << bias;
  }
  EXPECT_EQ(server_
                ->chat(R"({"messages": [{"role": "user", "content": "?"}], "tools": [
      {"type": "function", "function": {"name": "f", "strict": true, "parameters": {"not": {}}}}]})")
                .status,
            400);
}

// OpenAI's older spelling: the answer's call is a function_call, streamed in pieces that join to
// it.
TEST_F(ServeForms, FunctionsAreToolsInTheirOlderSpelling) {
  const std::string fields =
      R"("temperature": 0.8, "seed": 3, "max_tokens": 200, "functions": [{"name": "add", "parameters":
      {"type": "object", "properties": {"a": {"type": "integer", "maximum": 99, "minimum": 0}},
      "required": ["a"]}}], "function_call": {"name": "add"})";
  const std::string asked = R"("messages": [{"role": "user", "content": "Add."}], )" + fields;
  const Json whole = server_->chat("{" + asked + "}").json();
  const Json& message = at(whole, {"choices", "0", "message"});
  EXPECT_EQ(text_at(whole, {"choices", "0", "finish_reason"}), "function_call") << whole.dump();
  EXPECT_EQ(message.find("tool_calls"), nullptr);
  EXPECT_TRUE(at(message, {"content"}).is_null());
  EXPECT_EQ(text_at(message, {"function_call", "name"}), "add");
  const auto arguments = parse_json(text_at(message, {"function_call", "arguments"}));
  ASSERT_TRUE(arguments.ok());
  EXPECT_TRUE(at(*arguments, {"a"}).is_int());

  const std::vector<Json> events = server_->chat("{" + asked + R"(, "stream": true})").events();
  std::string name, pieces;
  for (const Json& event : events) {
    const Json& call = at(event, {"choices", "0", "delta", "function_call"});
    if (call.is_null()) continue;
    if (call.find("name") != nullptr) name += text_at(call, {"name"});
    pieces += text_at(call, {"arguments"});
  }
  EXPECT_EQ(name, "add");
  EXPECT_EQ(pieces, text_at(message, {"function_call", "arguments"}));
  EXPECT_EQ(text_at(events.back(), {"choices", "0", "finish_reason"}), "function_call");

  // The call and its result come back as the prompt that tools make of them.
  const std::string call = R"({"name": "add", "arguments": "{\"a\": 1}"})";
  const auto prompt = [&](const std::string& older) {
    return text_at(
        server_
            ->ask("POST", "/render",
                  R"({"messages": [{"role": "user", "content": "Add."}, )" + older + "]}")
            .json(),
        {"prompt"});
  };
  const std::string older =
      prompt(R"({"role": "assistant", "content": null, "function_call": )" + call +
             R"(}, {"role": "function", "name": "add", "content": "2"})");
  EXPECT_NE(older.find("add"), std::string::npos);
  EXPECT_EQ(older, prompt(R"({"role": "assistant", "content": null, "tool_calls": [{"id": "c",
      "type": "function", "function": )" +
                          call + R"(}]}, {"role": "tool", "tool_call_id": "c", "content": "2"})"));
}

}  // namespace
}  // namespace fathom::test
