// Goal: each rule of the router holds, and a router without it would fail here. Method: small cases
// worked out by hand.
#include "model/router.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace fathom {
namespace {

float logit(float p) { return std::log(p / (1 - p)); }

struct Chosen {
  std::vector<int32_t> indices;
  std::vector<float> weights;
};

Chosen run(const RouterConfig& config, std::vector<float> logits,
           const std::vector<float>& bias = {}) {
  Chosen chosen;
  chosen.indices.resize(static_cast<size_t>(config.num_experts_per_tok));
  chosen.weights.resize(static_cast<size_t>(config.num_experts_per_tok));
  route(Isa::kRef, config, logits.data(), bias.empty() ? nullptr : bias.data(),
        chosen.indices.data(), chosen.weights.data());
  return chosen;
}

RouterConfig v3(int64_t n, int64_t k, int64_t groups, int64_t kept) {
  return {.scoring_func = ScoringFunc::kSigmoid,
          .topk_method = TopkMethod::kNoauxTc,
          .n_routed_experts = n,
          .num_experts_per_tok = k,
          .n_group = groups,
          .topk_group = kept,
          .norm_topk_prob = true,
          .routed_scaling_factor = 2.5f};
}

TEST(Router, TheBiasChoosesButDoesNotWeigh) {
  const auto chosen =
      run(v3(4, 2, 1, 1), {logit(0.9f), logit(0.8f), logit(0.1f), logit(0.3f)}, {0, 0, 1.0f, 0});
  EXPECT_EQ(chosen.indices, (std::vector<int32_t>{2, 0}));  // biased 1.1 before 0.9
  EXPECT_NEAR(chosen.weights[0], 2.5 * 0.1 / 1.0, 1e-6);
  EXPECT_NEAR(chosen.weights[1], 2.5 * 0.9 / 1.0, 1e-6);
}

TEST(Router, GroupsCountByTheSumOfTheirTwoBest) {
  // Group 0 has the single best expert, group 1 the best pair.
  const std::vector<float> logits = {logit(0.9f), logit(0.1f), logit(0.6f), logit(0.7f)};
  EXPECT_EQ(run(v3(4, 2, 2, 1), logits).indices, (std::vector<int32_t>{3, 2}));
  RouterConfig v2 = v3(4, 2, 2, 1);
  v2.topk_method = TopkMethod::kGroupLimitedGreedy;  // V2: by its best one
  EXPECT_EQ(run(v2, logits).indices, (std::vector<int32_t>{0, 1}));
}

TEST(Router, MaskedGroupsStayOutEvenIfKeptScoresAreNegative) {
  const std::vector<float> logits = {logit(0.5f), logit(0.5f), logit(0.4f), logit(0.4f)};
  const auto chosen = run(v3(4, 2, 2, 1), logits, {-2.0f, -2.0f, -1.0f, -1.0f});
  EXPECT_EQ(chosen.indices, (std::vector<int32_t>{2, 3}));
}

TEST(Router, NormalisationAndScaleAreThoseOfTheConfig) {
  RouterConfig config = v3(3, 2, 1, 1);
  const std::vector<float> logits = {logit(0.2f), logit(0.6f), logit(0.4f)};
  auto chosen = run(config, logits);
  EXPECT_NEAR(chosen.weights[0], 2.5 * 0.6, 1e-6);
  EXPECT_NEAR(chosen.weights[1], 2.5 * 0.4, 1e-6);
  config.norm_topk_prob = false;
  config.routed_scaling_factor = 16.0f;
  chosen = run(config, {logit(0.2f), logit(0.6f), logit(0.3f)});
  EXPECT_NEAR(chosen.weights[0], 16 * 0.6, 1e-5);
  EXPECT_NEAR(chosen.weights[1], 16 * 0.3, 1e-5);
}

TEST(Router, SoftmaxScoresAreOverAllExperts) {
  RouterConfig config = v3(3, 1, 1, 1);
  config.scoring_func = ScoringFunc::kSoftmax;
  config.topk_method = TopkMethod::kGreedy;
  config.norm_topk_prob = false;
  config.routed_scaling_factor = 1.0f;
  const auto chosen = run(config, {0.0f, std::log(2.0f), 0.0f});
  EXPECT_EQ(chosen.indices[0], 1);
  EXPECT_NEAR(chosen.weights[0], 0.5, 1e-6);
}

TEST(Router, TiesGoToTheLowerId) {
  EXPECT_EQ(run(v3(4, 2, 1, 1), {0, 0, 0, 0}).indices, (std::vector<int32_t>{0, 1}));
  EXPECT_EQ(run(v3(4, 2, 2, 1), {0, 0, 0, 0}).indices, (std::vector<int32_t>{0, 1}));
}

}  // namespace
}  // namespace fathom
