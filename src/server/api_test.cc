// Goal: requests are read as clients of the OpenAI API mean them, and what is wrong is refused with
// the field's name, for every field and every wrong type. Method: bodies, one thing at a time.
#include <gtest/gtest.h>

#include "server/api_error.h"
#include "server/api_fields.h"
#include "server/chat_messages.h"
#include "server/chat_request.h"
#include "server/generation_fields.h"

namespace fathom {
namespace {

constexpr int64_t kVocab = 1000;

Json body(const std::string& more) {
  const std::string text = R"({"messages": [{"role": "user", "content": "Hi"}])" +
                           (more.empty() ? "" : ", " + more) + "}";
  Result<Json> parsed = parse_json(text, {.reject_duplicate_keys = false});
  EXPECT_TRUE(parsed.ok()) << text;
  return std::move(parsed).value();
}

ChatRequest accepted(const Json& json) {
  ChatRequest out;
  const auto error = parse_chat_request(json, {}, kVocab, out);
  EXPECT_FALSE(error.has_value()) << error->message;
  return out;
}

// The field that is named, and the status.
std::string refused(const Json& json) {
  ChatRequest out;
  const auto error = parse_chat_request(json, {}, kVocab, out);
  if (!error) return "accepted";
  EXPECT_EQ(error->status, 400);
  EXPECT_FALSE(error->message.empty());
  EXPECT_FALSE(error->code.empty());
  return error->param;
}

Json messages(const std::string& list, const std::string& more = "") {
  Result<Json> parsed =
      parse_json("{\"messages\": " + list + (more.empty() ? "" : ", " + more) + "}");
  EXPECT_TRUE(parsed.ok()) << list;
  return std::move(parsed).value();
}

TEST(ApiError, HasAllFourKeys) {
  const ApiError error = {.status = 429,
                          .message = "full",
                          .param = "",
                          .code = "queue_full",
                          .retry_after_seconds = 3};
  const HttpResponse response = error_response(error);
  EXPECT_EQ(response.status, 429);
  EXPECT_EQ(
      response.body,
      R"({"error":{"message":"full","type":"rate_limit_error","param":null,"code":"queue_full"}})");
  EXPECT_EQ(response.headers, (HttpHeaders{{"Retry-After", "3"}}));
  TokenEvent event;
  event.finish = FinishReason::kExpired;
  EXPECT_EQ(engine_error(event).status, 503);
}

TEST(ApiFields, WrongTypesAreNamed) {
  const Json json = *parse_json(R"({"a": 1.0, "b": "x", "c": null, "d": [1, -1], "e": 1e3})");
  int64_t integer = 7;
  ApiFields one(json);
  one.integer("c", integer, 0, 10);
  EXPECT_TRUE(one.ok());
  EXPECT_EQ(integer, 7);
  one.integer("a", integer, 0, 10);
  ASSERT_FALSE(one.ok());
  EXPECT_EQ(one.error()->param, "a");
  one.integer("b", integer, 0, 10);  // the first error stays
  EXPECT_EQ(one.error()->param, "a");
  ApiFields two(json, "outer.");
  std::vector<int32_t> ids;
  two.ids("d", ids, 10);
  EXPECT_EQ(two.error()->param, "outer.d");
  ApiFields three(json);
  double number = 0;
  three.number("e", number, 0, 1e3);
  EXPECT_EQ(number, 1000);
  EXPECT_FALSE(ApiFields(Json(5)).ok());
}

TEST(GenerationFields, AreTaken) {
  const GenerationFields read =
      accepted(body(R"("temperature": 0.5, "top_p": 0.9, "top_k": -1, "min_p": 0.1, "seed": -5,
          "n": 3, "max_tokens": 7, "max_completion_tokens": 9, "stop": "END", "logit_bias": {"5": -100},
          "frequency_penalty": 2, "presence_penalty": -2, "stream": true,
          "stream_options": {"include_usage": true}, "priority": 3, "cache_salt": "s")"))
          .generation;
  const SamplingParams& sampling = read.request.sampling;
  EXPECT_EQ(sampling.temperature, 0.5);
  EXPECT_EQ(sampling.top_k, 0);
  EXPECT_EQ(sampling.seed, static_cast<uint64_t>(-5));
  EXPECT_EQ(sampling.logit_bias, (std::vector<std::pair<int32_t, float>>{{5, -100.0f}}));
  EXPECT_EQ(read.n, 3);
  EXPECT_EQ(read.request.max_tokens, 9);
  EXPECT_EQ(read.request.stop, (std::vector<std::string>{"END"}));
  EXPECT_TRUE(read.stream && read.include_usage);
  EXPECT_EQ(read.request.cache_partition, "s");
  // What other clients send besides is passed over.
  accepted(body(R"("user": "me", "store": true, "mirostat": 2, "service_tier": "auto")"));
}

TEST(GenerationFields, OutOfRangeIsRefused) {
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {R"("temperature": -1)", "temperature"},
      {R"("temperature": 1e30)", "temperature"},
      {R"("temperature": "hot")", "temperature"},
      {R"("top_p": 0)", "top_p"},
      {R"("top_p": 1.1)", "top_p"},
      {R"("top_k": -2)", "top_k"},
      {R"("min_p": 2)", "min_p"},
      {R"("repetition_penalty": 0)", "repetition_penalty"},
      {R"("presence_penalty": 3)", "presence_penalty"},
      {R"("frequency_penalty": -2.5)", "frequency_penalty"},
      {R"("n": 0)", "n"},
      {R"("n": -1)", "n"},
      {R"("n": 1000000000)", "n"},
      {R"("n": 1.0)", "n"},
      {R"("seed": 18446744073709551615)", "seed"},
      {R"("max_tokens": -1)", "max_tokens"},
      {R"("max_tokens": 0)", "max_tokens"},
      {R"("max_completion_tokens": 0)", "max_completion_tokens"},
      {R"("stop": [""])", "stop"},
      {R"("stop": 5)", "stop"},
      {R"("stop": [5])", "stop"},
      {R"("stop": ["a","b","c","d","e","f","g","h","i","j","k","l","m","n","o","p","q"])", "stop"},
      {R"("logit_bias": {"-1": 1})", "logit_bias"},
      {R"("logit_bias": {"1000": 1})", "logit_bias"},
      {R"("logit_bias": {"x": 1})", "logit_bias"},
      {R"("logit_bias": {"1": 1e308})", "logit_bias"},
      {R"("logit_bias": [1])", "logit_bias"},
      {R"("stop_token_ids": [-1])", "stop_token_ids"},
      {R"("stream": 1)", "stream"},
      {R"("stream_options": {"include_usage": true})", "stream_options"},
      {R"("stream": true, "stream_options": {"include_usage": 1})", "stream_options.include_usage"},
      {R"("cache_salt": "")", "cache_salt"},
      {R"("priority": 9223372036854775807)", "priority"},
      {R"("top_logprobs": 2)", "top_logprobs"},
      {R"("logprobs": true, "top_logprobs": 21)", "top_logprobs"},
      {R"("logprobs": 1)", "logprobs"},
      {R"("model": 5)", "model"},
  };
  for (const auto& [field, param] : wrong) EXPECT_EQ(refused(body(field)), param) << field;
}

TEST(ChatMessages, BecomeWhatTemplatesSee) {
  const ChatRequest read = accepted(messages(R"([
      {"role": "developer", "content": "Be brief."},
      {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
      {"role": "assistant", "content": null, "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
      {"role": "tool", "tool_call_id": "c1", "content": "42"}])"));
  const Json& list = *read.context.find("messages");
  EXPECT_EQ(list.as_array()[0].dump(), R"({"role":"system","content":"Be brief."})");
  EXPECT_EQ(list.as_array()[1].dump(), R"({"role":"user","content":"ab"})");
  EXPECT_EQ(list.as_array()[2].find("tool_calls")->dump(),
            R"([{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}])");
  EXPECT_EQ(list.as_array()[3].find("tool_call_id")->as_string(), "c1");
  const ChatRequest going_on = accepted(messages(
      R"([{"role": "user", "content": "a"}, {"role": "assistant", "content": "I", "prefix": true}])"));
  EXPECT_TRUE(going_on.conversation.continues);
  EXPECT_EQ(going_on.conversation.beginning, "I");
  EXPECT_EQ(going_on.context.find("messages")->as_array().size(), 1u);
}

TEST(ChatMessages, WhatIsNoneIsRefused) {
  const std::string user = R"({"role": "user", "content": "a"})";
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"[]", "messages"},
      {"5", "messages"},
      {"[5]", "messages[0]"},
      {"[{}]", "messages[0].role"},
      {R"([{"role": "king", "content": "a"}])", "messages[0].role"},
      {R"([{"role": "user"}])", "messages[0].content"},
      {R"([{"role": "user", "content": null}])", "messages[0].content"},
      {R"([{"role": "assistant", "content": null}])", "messages[0].content"},
      {R"([{"role": "user", "content": 5}])", "messages[0].content"},
      {R"([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}])",
       "messages[0].content[0].type"},
      {R"([{"role": "user", "content": [{"type": "text"}]}])", "messages[0].content[0].text"},
      {"[" + user + R"(, {"role": "tool", "tool_call_id": "x", "content": "a"}])",
       "messages[1].tool_call_id"},
      {R"([{"role": "user", "content": "a", "prefix": true}])", "messages[0].prefix"},
      {R"([{"role": "assistant", "content": "a", "prefix": true}, )" + user + "]", "messages"},
      {R"([{"role": "assistant", "content": "a", "prefix": true}])", "messages"},
  };
  for (const auto& [list, param] : wrong) EXPECT_EQ(refused(messages(list)), param) << list;
  EXPECT_EQ(refused(*parse_json("{}")), "messages");
  EXPECT_EQ(refused(*parse_json("[]")), "");
  EXPECT_EQ(refused(body(R"("continue_final_message": true)")), "continue_final_message");
}

TEST(ChatTools, AreCheckedAndHandedOn) {
  const std::string tool =
      R"({"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}})";
  const ChatRequest read = accepted(body("\"tools\": [" + tool + "]"));
  EXPECT_TRUE(read.parses_calls);
  EXPECT_EQ(read.context.find("tools")->as_array().size(), 1u);
  const ChatRequest none = accepted(body("\"tool_choice\": \"none\", \"tools\": [" + tool + "]"));
  EXPECT_FALSE(none.parses_calls);
  EXPECT_EQ(none.context.find("tools"), nullptr);
  std::string many = tool;
  for (int i = 0; i < 128; ++i)
    many += R"(, {"type": "function", "function": {"name": "g)" + std::to_string(i) + "\"}}";
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {R"("tools": [])", "tools"},
      {R"("tools": 5)", "tools"},
      {"\"tools\": [" + many + "]", "tools"},
      {"\"tools\": [" + tool + ", " + tool + "]", "tools[1].function.name"},
      {R"("tools": [{"type": "function"}])", "tools[0].function"},
      {R"("tools": [{"type": "web"}])", "tools[0].type"},
      {R"("tools": [{"function": {"name": "a b"}}])", "tools[0].function.name"},
      {R"("tools": [{"function": {"name": "a", "parameters": 5}}])",
       "tools[0].function.parameters"},
      {R"("tool_choice": "auto")", "tool_choice"},
      {R"("tool_choice": "required")", "tool_choice"},
      {"\"tool_choice\": \"always\", \"tools\": [" + tool + "]", "tool_choice"},
      {"\"tool_choice\": {\"type\": \"function\"}, \"tools\": [" + tool + "]", "tool_choice"},
      {R"("tool_choice": {"type": "function", "function": {"name": "h"}}, "tools": [)" + tool + "]",
       "tool_choice.function.name"},
      {R"("regex": "a", "tool_choice": "required", "tools": [)" + tool + "]", "tool_choice"},
  };
  for (const auto& [field, param] : wrong) EXPECT_EQ(refused(body(field)), param) << field;
}

TEST(ChatTools, CallsAreForcedAsAsked) {
  const auto read = [](const std::string& choice) {
    return accepted(body(R"("tools": [{"type": "function", "function": {"name": "f"}},
        {"type": "function", "function": {"name": "g"}}], "tool_choice": )" +
                         choice));
  };
  EXPECT_FALSE(read(R"("auto")").forced_calls.has_value());
  const ChatRequest any = read(R"("required")");
  EXPECT_EQ(any.forced_calls->names, (std::vector<std::string>{"f", "g"}));
  EXPECT_GT(any.forced_calls->calls_max, 1);
  EXPECT_EQ(read(R"("required", "parallel_tool_calls": false)").forced_calls->calls_max, 1);
  const ChatRequest named = read(R"({"type": "function", "function": {"name": "g"}})");
  EXPECT_EQ(named.forced_calls->names, std::vector<std::string>{"g"});
  EXPECT_EQ(named.forced_calls->calls_max, 1);
  EXPECT_EQ(named.conversation.tools.as_array().size(), 2u);
  const ChatRequest some = read(R"({"type": "allowed_tools", "allowed_tools": {"mode": "required",
      "tools": [{"type": "function", "function": {"name": "g"}}]}})");
  EXPECT_EQ(some.forced_calls->names, std::vector<std::string>{"g"});
  EXPECT_EQ(some.conversation.tools.as_array().size(), 1u);
  const ChatRequest free = read(R"({"type": "allowed_tools", "allowed_tools": {"mode": "auto",
      "tools": [{"type": "function", "function": {"name": "f"}}]}})");
  EXPECT_FALSE(free.forced_calls.has_value());
  EXPECT_EQ(free.conversation.tools.as_array().size(), 1u);
}

TEST(ChatTools, StrictOnesBindCallsThatAreNotForced) {
  const auto read = [](const std::string& more) {
    return accepted(
        body(R"("tools": [{"type": "function", "function": {"name": "f", "strict": true}},
        {"type": "function", "function": {"name": "g"}}])" +
             more));
  };
  EXPECT_GT(read("").strict_calls_max.value_or(0), 1);
  EXPECT_EQ(read(R"(, "parallel_tool_calls": false)").strict_calls_max, 1);
  EXPECT_FALSE(read(R"(, "tool_choice": "required")").strict_calls_max.has_value());
  EXPECT_FALSE(read(R"(, "tool_choice": "none")").strict_calls_max.has_value());
  EXPECT_FALSE(read(R"(, "regex": "a")").strict_calls_max.has_value());
  EXPECT_FALSE(read(R"(, "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto",
      "tools": [{"type": "function", "function": {"name": "g"}}]}})")
                   .strict_calls_max.has_value());
  EXPECT_EQ(refused(body(R"("tools": [{"function": {"name": "f", "strict": 1}}])")),
            "tools[0].function.strict");
}

TEST(ChatThinking, InItsThreeSpellings) {
  const auto thinking = [](const std::string& more) {
    const ChatRequest read = accepted(body(more));
    const Json* const found = read.context.find("thinking");
    return found == nullptr ? "none" : found->as_bool() ? "on" : "off";
  };
  EXPECT_STREQ(thinking(""), "none");
  EXPECT_STREQ(thinking(R"("thinking": {"type": "enabled"})"), "on");
  EXPECT_STREQ(thinking(R"("thinking": {"type": "disabled"})"), "off");
  EXPECT_STREQ(thinking(R"("reasoning_effort": "high")"), "on");
  EXPECT_STREQ(thinking(R"("reasoning_effort": "none")"), "off");
  EXPECT_STREQ(thinking(R"("chat_template_kwargs": {"thinking": true})"), "on");
  EXPECT_STREQ(thinking(R"("chat_template_kwargs": {"enable_thinking": false})"), "off");
  EXPECT_EQ(refused(body(R"("thinking": {"type": "maybe"})")), "thinking.type");
  EXPECT_EQ(refused(body(R"("reasoning_effort": "huge")")), "reasoning_effort");
  EXPECT_EQ(refused(body(R"("chat_template_kwargs": {"x": true})")), "chat_template_kwargs");
}

TEST(ChatRequests, WhatCannotBeGivenIsNotPassedOver) {
  for (const auto& [field, param] : std::vector<std::pair<std::string, std::string>>{
           {R"("audio": {})", "audio"}, {R"("prompt_logprobs": 1)", "prompt_logprobs"}})
    EXPECT_EQ(refused(body(field)), param) << field;
}

TEST(ChatConstraints, InEverySpelling) {
  EXPECT_EQ(accepted(body(R"("response_format": {"type": "text"})")).generation.request.grammar,
            nullptr);
  for (
      const char* field :
      {R"("response_format": {"type": "json_object"})",
       R"("response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}})",
       R"("guided_json": "{\"type\": \"integer\"}")", R"("json_schema": {"type": "integer"})",
       R"("guided_regex": "a+")", R"("regex": "[0-9]")", R"("ebnf": "root ::= \"a\"")",
       R"("guided_choice": ["yes", "no"])", R"("structured_outputs": {"choice": ["a"]})",
       R"("structured_outputs": {"json_object": true})"})
    EXPECT_NE(accepted(body(field)).generation.request.grammar, nullptr) << field;
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {R"("response_format": {"type": "xml"})", "response_format.type"},
      {R"("response_format": {"type": "json_schema"})", "response_format.json_schema"},
      {R"("response_format": {"type": "json_schema", "json_schema": {"schema": {"not": {}}}})",
       "response_format.json_schema"},
      {R"x("regex": "(?=a)")x", "regex"},
      {R"("regex": 5)", "regex"},
      {R"("guided_choice": [])", "guided_choice"},
      {R"("regex": "a", "ebnf": "root ::= \"a\"")", "ebnf"},
      {R"("response_format": {"type": "json_object"}, "guided_json": {})", "guided_json"},
      {R"("structured_outputs": {"structural_tag": {}})", "structured_outputs.structural_tag"},
  };
  for (const auto& [field, param] : wrong) EXPECT_EQ(refused(body(field)), param) << field;
}

}  // namespace
}  // namespace fathom
