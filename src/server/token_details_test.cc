// Goal: what is kept of tokens as numbers is told as JSON in either way alike, and costs about what
// the limits count. Method: tokens of the default model's vocabulary, whole and in pieces.
#include "server/token_details.h"

#include <gtest/gtest.h>

#include "io/model_files.h"
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
  const Json& first = both.logprobs(tokenizer_).find("content")->as_array()[0];
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

}  // namespace
}  // namespace fathom
