// Goal: sampling is a function of (logits, parameters, seed, choice, position) and follows the
// order bias, penalties, temperature, min-p, top-k, top-p. Method: distributions computed in the
// test, and draws counted.
#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

namespace fathom {
namespace {

const std::vector<float> kLogits = {1.0f, 2.0f, 0.5f, 2.0f, -1.0f, 0.0f};

std::map<int32_t, double> draw(const SamplingParams& params, const TokenCounts& counts = {},
                               int n = 20000) {
  Sampler sampler(static_cast<int64_t>(kLogits.size()));
  std::map<int32_t, double> share;
  for (int i = 0; i < n; ++i) share[sampler.sample(kLogits, params, counts, i)] += 1.0 / n;
  return share;
}

std::vector<double> softmax(double temperature) {
  std::vector<double> p;
  double sum = 0;
  for (float logit : kLogits) sum += std::exp(logit / temperature);
  for (float logit : kLogits) p.push_back(std::exp(logit / temperature) / sum);
  return p;
}

TEST(Sampler, GreedyTakesTheLowestOfEqualLogits) {
  Sampler sampler(6);
  EXPECT_EQ(sampler.sample(kLogits, {.temperature = 0}, {}, 0), 1);
  const int32_t banned[] = {1};
  EXPECT_EQ(sampler.sample(kLogits, {.temperature = 0}, {}, 0, banned), 3);
}

TEST(Sampler, DrawsFollowTheTemperature) {
  for (double temperature : {0.5, 1.0, 2.0}) {
    const auto p = softmax(temperature);
    auto share = draw({.temperature = temperature, .seed = 7});
    // Three standard deviations of a share of 20,000 draws are below 0.011.
    for (size_t i = 0; i < p.size(); ++i)
      EXPECT_NEAR(share[static_cast<int32_t>(i)], p[i], 0.011) << temperature << ' ' << i;
  }
}

TEST(Sampler, TopKTopPAndMinPKeepWhatTheySay) {
  for (const auto& [id, share] : draw({.top_k = 3}))
    EXPECT_TRUE(id == 0 || id == 1 || id == 3) << id << ' ' << share;
  // The two best hold 0.72 of the mass, the three best 0.85.
  for (const auto& [id, share] : draw({.top_p = 0.6}))
    EXPECT_TRUE(id == 1 || id == 3) << id << ' ' << share;
  EXPECT_EQ(draw({.top_p = 0.8}).size(), 3u);
  EXPECT_EQ(draw({.top_p = 1e-6}).size(), 1u);
  // exp(-1) = 0.37 of the best is kept at 0.3, exp(-1.5) = 0.22 is not.
  EXPECT_EQ(draw({.min_p = 0.3}).size(), 3u);
}

TEST(Sampler, PenaltiesAndBiasChangeTheRawLogits) {
  TokenCounts counts;
  const int32_t prompt[] = {1};
  counts.add_prompt(prompt);
  counts.add_answer(3);
  counts.add_answer(3);
  Sampler sampler(6);
  EXPECT_EQ(sampler.sample(kLogits, {.temperature = 0, .repetition_penalty = 4.0}, counts, 0), 0);
  EXPECT_EQ(sampler.sample(kLogits, {.temperature = 0, .presence_penalty = 5.0}, counts, 0), 1);
  EXPECT_EQ(sampler.sample(kLogits, {.temperature = 0, .frequency_penalty = -1.0}, counts, 0), 3);
  EXPECT_EQ(sampler.sample(kLogits, {.temperature = 0, .logit_bias = {{4, 10.0f}}}, counts, 0), 4);
}

TEST(Sampler, ADrawDependsOnSeedChoiceAndPositionOnly) {
  Sampler a(6), b(6);
  for (int64_t position = 0; position < 50; ++position) {
    b.sample(kLogits, {.seed = 99}, {}, position);  // other draws in between change nothing
    EXPECT_EQ(a.sample(kLogits, {.seed = 5, .choice = 2}, {}, position),
              b.sample(kLogits, {.seed = 5, .choice = 2}, {}, position));
  }
  EXPECT_NE(counter_uniform(1, 0, 0), counter_uniform(2, 0, 0));
  EXPECT_NE(counter_uniform(1, 0, 0), counter_uniform(1, 1, 0));
  EXPECT_NE(counter_uniform(1, 0, 0), counter_uniform(1, 0, 1));
}

TEST(Sampler, ALargeVocabularySortsOnlyWhatItMust) {
  // 5,000 equal logits: the nucleus is larger than the part that is sorted first.
  std::vector<float> logits(5000, 1.0f);
  Sampler sampler(5000);
  int32_t highest = 0;
  for (int64_t i = 0; i < 3000; ++i)
    highest = std::max(highest, sampler.sample(logits, {.top_p = 0.5, .seed = 3}, {}, i));
  EXPECT_LT(highest, 2501);
  EXPECT_GT(highest, 2400);
}

TEST(Sampler, NotANumberNeverWins) {
  std::vector<float> logits = {NAN, 1.0f, NAN};
  Sampler sampler(3);
  EXPECT_EQ(sampler.sample(logits, {.temperature = 0}, {}, 0), 1);
  EXPECT_EQ(sampler.sample(logits, {.temperature = 1}, {}, 0), 1);
}

TEST(Sampler, RefusesWhatIsOutOfRange) {
  const SamplingParams bad[] = {{.temperature = -1},
                                {.temperature = NAN},
                                {.top_p = 0},
                                {.top_p = 1.5},
                                {.top_k = -2},
                                {.min_p = 2},
                                {.repetition_penalty = 0},
                                {.presence_penalty = INFINITY},
                                {.logit_bias = {{6, 1.0f}}},
                                {.logit_bias = {{-1, 1.0f}}},
                                {.logit_bias = {{0, 1e30f}}}};
  for (const auto& params : bad) EXPECT_FALSE(check_sampling(params, 6).ok());
  EXPECT_TRUE(check_sampling({}, 6).ok());
}

TEST(Sampler, TopLogprobsAreSortedAndNormalised) {
  std::vector<TokenLogprob> top;
  top_logprobs(Isa::kRef, kLogits, 3, top);
  ASSERT_EQ(top.size(), 3u);
  EXPECT_EQ(top[0].token, 1);
  EXPECT_EQ(top[1].token, 3);
  EXPECT_EQ(top[2].token, 0);
  EXPECT_NEAR(top[2].logprob, std::log(softmax(1.0)[0]), 1e-6);
  EXPECT_EQ(token_logprob(Isa::kRef, kLogits, 0), top[2].logprob);
}

}  // namespace
}  // namespace fathom
