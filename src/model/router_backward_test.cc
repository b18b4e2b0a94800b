// Goal: the router's gradients are those of its formulas. Method: finite differences in double of
// the weights and of the balance term, with the choice held fixed.
#include "model/router_backward.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>

namespace fathom {
namespace {

using Doubles = std::vector<double>;

constexpr int64_t kExperts = 8, kTopK = 3;

RouterConfig router_of(ScoringFunc scoring, bool norm) {
  return {.scoring_func = scoring,
          .topk_method = TopkMethod::kNoauxTc,
          .n_routed_experts = kExperts,
          .num_experts_per_tok = kTopK,
          .n_group = 1,
          .topk_group = 1,
          .norm_topk_prob = norm,
          .routed_scaling_factor = 2.5f};
}

Doubles scores(const RouterConfig& config, const Doubles& logits) {
  Doubles s(logits.size());
  double sum = 0;
  for (size_t i = 0; i < s.size(); ++i) {
    s[i] = config.scoring_func == ScoringFunc::kSigmoid ? 1 / (1 + std::exp(-logits[i]))
                                                        : std::exp(logits[i]);
    sum += s[i];
  }
  if (config.scoring_func == ScoringFunc::kSoftmax) {
    for (double& v : s) v /= sum;
  }
  return s;
}

void expect_differences(const std::function<double(const Doubles&)>& f, Doubles x,
                        const std::vector<float>& got) {
  for (size_t i = 0; i < x.size(); ++i) {
    const double before = x[i];
    x[i] = before + 1e-5;
    const double high = f(x);
    x[i] = before - 1e-5;
    const double low = f(x);
    x[i] = before;
    EXPECT_NEAR(static_cast<double>(got[i]), (high - low) / 2e-5, 2e-6) << i;
  }
}

Doubles random_logits(int64_t n) {
  std::mt19937 random(3);
  std::normal_distribution<double> normal(0, 1);
  Doubles out(static_cast<size_t>(n));
  for (double& v : out) v = static_cast<double>(static_cast<float>(normal(random)));
  return out;
}

std::vector<float> narrow(const Doubles& x) { return {x.begin(), x.end()}; }

TEST(RouterBackward, OfTheWeights) {
  const int32_t chosen[kTopK] = {5, 0, 3};
  const float d_weights[kTopK] = {0.7f, -1.3f, 0.2f};
  for (const ScoringFunc scoring : {ScoringFunc::kSigmoid, ScoringFunc::kSoftmax}) {
    for (const bool norm : {true, false}) {
      const RouterConfig config = router_of(scoring, norm);
      const Doubles logits = random_logits(kExperts);
      const auto loss = [&](const Doubles& x) {
        const Doubles s = scores(config, x);
        double sum = 0, out = 0;
        for (const int32_t e : chosen) sum += s[static_cast<size_t>(e)];
        for (int64_t k = 0; k < kTopK; ++k)
          out += static_cast<double>(d_weights[k]) * 2.5 * s[static_cast<size_t>(chosen[k])] /
                 (norm ? sum : 1.0);
        return out;
      };
      std::vector<float> d_logits(kExperts, 9.0f);
      route_backward(config, narrow(scores(config, logits)).data(), chosen, d_weights,
                     d_logits.data());
      expect_differences(loss, logits, d_logits);
    }
  }
}

TEST(RouterBackward, OfTheBalanceTerm) {
  constexpr int64_t kTokens = 6;
  for (const ScoringFunc scoring : {ScoringFunc::kSigmoid, ScoringFunc::kSoftmax}) {
    const RouterConfig config = router_of(scoring, true);
    const Doubles logits = random_logits(kTokens * kExperts);
    const auto affinities_of = [&](const Doubles& x) {
      Doubles all;
      for (int64_t t = 0; t < kTokens; ++t) {
        const Doubles s =
            scores(config, Doubles(x.begin() + t * kExperts, x.begin() + (t + 1) * kExperts));
        all.insert(all.end(), s.begin(), s.end());
      }
      return all;
    };
    const Doubles affinities = affinities_of(logits);
    Doubles f(kExperts);
    for (int64_t t = 0; t < kTokens; ++t) {
      std::vector<int64_t> order(kExperts);
      for (int64_t i = 0; i < kExperts; ++i) order[static_cast<size_t>(i)] = i;
      std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
        return affinities[static_cast<size_t>(t * kExperts + a)] >
               affinities[static_cast<size_t>(t * kExperts + b)];
      });
      for (int64_t k = 0; k < kTopK; ++k)
        f[static_cast<size_t>(order[static_cast<size_t>(k)])] +=
            static_cast<double>(kExperts) / (kTopK * kTokens);
    }
    const auto loss = [&](const Doubles& x) {
      const Doubles s = affinities_of(x);
      double out = 0;
      for (int64_t t = 0; t < kTokens; ++t) {
        double sum = 0;
        for (int64_t i = 0; i < kExperts; ++i) sum += s[static_cast<size_t>(t * kExperts + i)];
        for (int64_t i = 0; i < kExperts; ++i)
          out +=
              f[static_cast<size_t>(i)] * s[static_cast<size_t>(t * kExperts + i)] / sum / kTokens;
      }
      return out;
    };
    const std::vector<float> narrow_affinities = narrow(affinities);
    const BalanceTerm term = balance_term(config, narrow_affinities.data(), kTokens);
    EXPECT_NEAR(term.value, loss(logits), 1e-6);
    std::vector<float> d_logits(static_cast<size_t>(kTokens * kExperts));
    for (int64_t t = 0; t < kTokens; ++t)
      add_balance_gradient(config, term, &narrow_affinities[static_cast<size_t>(t * kExperts)], 1.0,
                           &d_logits[static_cast<size_t>(t * kExperts)]);
    expect_differences(loss, logits, d_logits);
  }
}

// Equal affinities: every f is 1 when the choice is even, and the term is 1.
TEST(RouterBackward, BalancedTokensGiveOne) {
  const RouterConfig config = router_of(ScoringFunc::kSigmoid, true);
  const std::vector<float> affinities(kExperts, 0.5f);
  EXPECT_NEAR(balance_term(config, affinities.data(), 1).value, 1.0, 1e-12);
}

}  // namespace
}  // namespace fathom
