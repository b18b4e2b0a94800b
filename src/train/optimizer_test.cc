// Goal: micro-batches combine as a binary counter counts, biases move towards balance, spikes are
// told from noise. Method: trees written out by hand; small loads; made-up losses.
#include "train/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "train/spikes.h"

namespace fathom {
namespace {

const Compute kCompute = {Isa::kRef, nullptr};

TEST(GradientTree, CountsInBinary) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> g(7);
  for (float& v : g) v = normal(random) * 1e4f + 1.0f;  // the order of sums shows
  const auto sum_of = [&](size_t n) {
    GradientTree tree;
    std::vector<float> gradient(1);
    for (size_t i = 0; i < n; ++i) {
      GradientTree::clear(kCompute, gradient);
      gradient[0] += g[i];
      if (i + 1 < n) tree.push(kCompute, gradient);
    }
    tree.finish(kCompute, gradient);
    return gradient[0];
  };
  EXPECT_EQ(sum_of(1), g[0]);
  EXPECT_EQ(sum_of(2), g[0] + g[1]);
  EXPECT_EQ(sum_of(3), g[2] + (g[0] + g[1]));
  EXPECT_EQ(sum_of(4), (g[0] + g[1]) + (g[2] + g[3]));
  EXPECT_EQ(sum_of(7), (g[6] + (g[4] + g[5])) + ((g[0] + g[1]) + (g[2] + g[3])));
}

TEST(RouterBias, MovesAgainstTheLoad) {
  std::vector<float> bias = {0.5f, 0.0f, -0.25f, 0.0f};
  update_router_bias(bias, std::vector<int64_t>{10, 0, 4, 2}, 0.125);
  EXPECT_EQ(bias, (std::vector<float>{0.375f, 0.125f, -0.25f, 0.125f}));
  update_router_bias(bias, std::vector<int64_t>{10, 0, 4, 2}, 0.0);
  EXPECT_EQ(bias, (std::vector<float>{0.375f, 0.125f, -0.25f, 0.125f}));
  EXPECT_DOUBLE_EQ(max_violation(std::vector<int64_t>{10, 0, 4, 2}), 1.5);
  EXPECT_EQ(max_violation(std::vector<int64_t>{0, 0}), 0.0);
}

TEST(Spikes, AreFarAboveTheRunningMean) {
  const SpikeDetector detector(6.0, 20);
  SpikeState state;
  std::mt19937 random(2);
  std::normal_distribution<double> normal(0.0, 0.05);
  for (int i = 0; i < 500; ++i)
    EXPECT_FALSE(detector.observe(3.0 + 3.0 / (1 + i * 0.1) + normal(random), state)) << i;
  const SpikeState before = state;
  EXPECT_TRUE(detector.observe(4.5, state));
  EXPECT_TRUE(detector.observe(std::numeric_limits<double>::quiet_NaN(), state));
  EXPECT_EQ(state.mean, before.mean);  // spikes leave no trace
  EXPECT_FALSE(detector.observe(3.1, state));
  SpikeState young;
  EXPECT_FALSE(detector.observe(1.0, young));
  EXPECT_FALSE(detector.observe(100.0, young));  // warming up
}

}  // namespace
}  // namespace fathom
