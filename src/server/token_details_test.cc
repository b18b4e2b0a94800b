// Goal: what is kept of tokens as numbers is told as JSON in either way alike, and costs about what
// the limits count. Method: tokens of the default model's vocabulary, whole and in pieces.
#include "server/token_details.h"

#include <gtest/gtest.h>

#include "io/model_files.h"
#include "server/chat_answer.h"
#include "server/completion_answer.h"
#include "server/test_reply.h"
#include "tokenizer/load_tokenizer.h"

namespace fathom {
namespace {

class Details : public ::testing::Test {
 protected:
  static TokenEvent event(int32_t token, int64_t n_top) {
    TokenEvent out;
    out.token = token;
    out.logprob = -1.25f;
    for (int32_t i = 0; i < n_top; ++i) out.top_logprobs.push_back({token + i, -0.5f});
    out.routed_experts = {3, 1, 0, 2};
    return out;
  }
  static Json members(const TokenDetails& details, const Tokenizer& tokenizer) {
    std::string text = "{\"a\":1";
    details.append_members(tokenizer, text);
    Result<Json> made = parse_json(text + "}");
    EXPECT_TRUE(made.ok()) << text;
    return std::move(made).value();
  }
  const Tokenizer tokenizer_ =
      load_tokenizer(ModelFiles::open_folder(FATHOM_TESTDATA "/../models/default").value()).value();
};

TEST_F(Details, TextAndValuesSayTheSame) {
  TokenDetails both(/*logprobs=*/true, /*n_expert_layers=*/2);
  EXPECT_TRUE(both.empty() && both.logprobs(tokenizer_).is_null() && both.experts().is_null());
  EXPECT_EQ(members(both, tokenizer_).find("logprobs")->dump(), R"({"content":[]})");
  both.add(event(300, 2));
  both.add(event(301, 0));
  const Json told = members(both, tokenizer_);
  EXPECT_EQ(told.find("logprobs")->dump(), both.logprobs(tokenizer_).dump());
  EXPECT_EQ(told.find("routed_experts")->dump(), both.experts().dump());
  EXPECT_EQ(both.experts().dump(), "[[[3,1],[0,2]],[[3,1],[0,2]]]");
  const Json logprobs = both.logprobs(tokenizer_);
  const Json& first = logprobs.find("content")->as_array()[0];
  EXPECT_EQ(first.find("logprob")->as_double(), -1.25);
  EXPECT_EQ(first.find("top_logprobs")->as_array().size(), 2u);
  both.clear();
  EXPECT_TRUE(both.empty());
}

TEST_F(Details, WhatIsNotAskedForIsNotKept) {
  TokenDetails none(/*logprobs=*/false, /*n_expert_layers=*/0);
  none.add(event(300, 2));
  EXPECT_TRUE(none.empty());
  EXPECT_EQ(members(none, tokenizer_).dump(), R"({"a":1,"logprobs":null})");
  TokenDetails experts(/*logprobs=*/false, /*n_expert_layers=*/1);
  experts.add(event(300, 2));
  EXPECT_TRUE(experts.logprobs(tokenizer_).is_null());
  EXPECT_EQ(members(experts, tokenizer_).dump(),
            R"({"a":1,"logprobs":null,"routed_experts":[[[3,1,0,2]]]})");
}

TEST_F(Details, TakeAboutWhatIsCounted) {
  TokenDetails details(/*logprobs=*/true, /*n_expert_layers=*/2);
  constexpr int32_t kTokens = 200;
  for (int32_t i = 0; i < kTokens; ++i) details.add(event(300 + 7 * i, 20));
  std::string text;
  details.append_members(tokenizer_, text);
  const auto counted = static_cast<double>(kTokens * chat_detail_bytes(20, 4));
  EXPECT_LT(static_cast<double>(text.size()), counted);
  EXPECT_GT(static_cast<double>(text.size()), 0.4 * counted);
}

TEST_F(Details, RequestsWithoutALengthGetWhatFits) {
  GenerateRequest request;
  cut_to_details(request, 128, chat_detail_bytes(-1, 0));
  EXPECT_EQ(request.max_tokens, -1);
  cut_to_details(request, 128, chat_detail_bytes(20, 58 * 8));
  const int64_t kept = request.max_tokens * 128 * chat_detail_bytes(20, 58 * 8);
  EXPECT_LE(kept, kDetailBytesMax);
  EXPECT_GT(kept, kDetailBytesMax * 9 / 10);
  request.max_tokens = 1'000'000;
  cut_to_details(request, 128, 100);
  EXPECT_EQ(request.max_tokens, 1'000'000);  // refused, not cut
  EXPECT_EQ(completion_detail_bytes(-1), 0);
}

// The longest prompts that are taken, with logits of seven digits.
TEST_F(Details, AStreamsEchoIsLessThanAClientMayLeaveUnread) {
  for (const int64_t n_top : {int64_t{0}, int64_t{20}}) {
    CompletionRequest asked;
    asked.echo = asked.generation.stream = true;
    asked.logprobs = n_top;
    TokenEvent first = event(300, n_top);
    std::vector<int32_t>& prompt = asked.prompts.emplace_back();
    for (int64_t i = 0; i < streamed_echo_max(n_top); ++i) {
      prompt.push_back(static_cast<int32_t>(300 + 7 * i % 3000));
      PromptLogprob& of = first.prompt_logprobs.emplace_back(-12.3456789f, first.top_logprobs);
      for (TokenLogprob& one : of.top) one.logprob = -12.3456789f - static_cast<float>(one.token);
    }
    const auto reply = std::make_shared<RecordedReply>();
    CompletionAnswer answer(tokenizer_, {}, std::move(asked), reply);
    answer.on_token(0, first);
    const auto sent = static_cast<int64_t>(reply->body.size());
    EXPECT_LT(sent, HttpServerOptions().unsent_bytes_max) << n_top;
    EXPECT_GT(sent, HttpServerOptions().unsent_bytes_max / 4) << n_top;
  }
}

// Calls that the older spelling leaves out: no chunk tells more tokens than have come.
TEST_F(Details, OfCallsThatAreLeftOutAreToldAsTheyCome) {
  const auto reply = std::make_shared<RecordedReply>();
  ChatAnswer answer(tokenizer_,
                    {.head = {},
                     .parser = {.parses_calls = true},
                     .stream = true,
                     .logprobs = true,
                     .legacy_functions = true},
                    reply);
  const std::string call = "<｜tool▁call▁begin｜>f<｜tool▁sep｜>", end = "<｜tool▁call▁end｜>";
  std::vector<std::string> texts = {"<｜tool▁calls▁begin｜>" + call, "{}" + end + call,
                                    "{\"a\": ["};
  for (int i = 0; i < 100; ++i) texts.push_back("12345, ");
  for (const std::string& text : texts) {
    TokenEvent told = event(300, 0);
    told.text = text;
    answer.on_token(0, told);
  }
  TokenEvent last = event(301, 0);
  last.text = "1]}" + end + "<｜tool▁calls▁end｜>";
  last.finish = FinishReason::kStop;
  answer.on_token(0, last);
  size_t longest = 0, n_calls = 0;
  for (size_t at = 0, next = 0; at < reply->body.size(); at = next + 1) {
    next = reply->body.find('\n', at);
    const std::string line = reply->body.substr(at, next - at);
    size_t n_told = 0;
    for (size_t i = line.find("\"bytes\""); i != std::string::npos;
         i = line.find("\"bytes\"", i + 1))
      ++n_told;
    longest = std::max(longest, n_told);
    n_calls += line.find("\"name\"") != std::string::npos ? 1 : 0;
  }
  EXPECT_EQ(n_calls, 1u);
  EXPECT_GE(longest, 1u);
  EXPECT_LE(longest, 10u);
}

}  // namespace
}  // namespace fathom
