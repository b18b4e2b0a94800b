// Goal: the cost of the published run is the published one. Method: figures of the report and
// arithmetic written out here.
#include "train/run_cost.h"

#include <gtest/gtest.h>

#include <limits>

namespace fathom {
namespace {

TEST(RunCost, OfThe671BRun) {
  const auto run = read_run_config(
      std::string(FATHOM_TESTDATA) + "/../examples/train/deepseek-v3-671b.toml", {});
  ASSERT_TRUE(run.ok()) << run.error().message;
  const auto model = run_model(*run);
  ASSERT_TRUE(model.ok()) << model.error().message;
  const RunCost cost = run_cost(*run, model->config);
  EXPECT_EQ(cost.parameters.total, 671'026'419'200);
  // 36.6B activated and an MTP module of 2.54B without the embedding's table (926,679,040), and 62
  // layers of 128 heads over 2,048.5 keys, 192 + 128 wide.
  const double activated = 36'625'618'432.0 + 2'541'458'688.0 - 926'679'040.0;
  const double attention = 3.0 * 62 * 2 * 128 * (192 + 128) * 2048.5;
  EXPECT_NEAR(cost.flops_per_token / (6 * activated + attention), 1.0, 1e-4);
  EXPECT_GE(cost.tokens, 14'800'000'000'000);
  EXPECT_LT(cost.tokens, 14'800'000'000'000 + 15360 * 4096);
  // 469B tokens at 9,216 sequences on average (more exactly: the ramp is linear in tokens, so steps
  // go as its logarithm: 469e9 / 4096 * ln(5) / 12288), the rest at 15,360.
  const double ramp = 469e9 / 4096 * 1.6094379 / 12288;
  EXPECT_NEAR(static_cast<double>(cost.steps), ramp + 14'331e9 / 4096 / 15360, 20);
}

TEST(RunCost, MemoryOfTheTreeAndMoments) {
  const auto run = read_run_config(std::string(FATHOM_TESTDATA) + "/../examples/train/tiny.toml",
                                   {"data.batch=24", "data.micro_batch=8"});
  ASSERT_TRUE(run.ok()) << run.error().message;
  const auto model = run_model(*run);
  ASSERT_TRUE(model.ok()) << model.error().message;
  const RunCost cost = run_cost(*run, model->config);
  const int64_t n = cost.parameters.total + cost.parameters.mtp_unique;
  EXPECT_EQ(cost.memory.masters, 4 * n);
  EXPECT_EQ(cost.memory.gradients, 3 * 4 * n);  // two of three micro-batches are put away
  EXPECT_EQ(cost.memory.moments, 4 * n);
  EXPECT_EQ(cost.steps, 1500);
  EXPECT_EQ(cost.tokens, 1500 * 24 * 256);
}

// Steps beyond those that are counted one by one are like the last.
TEST(RunCost, AnEndFarAwayIsExtrapolated) {
  const auto cost_with = [](const std::vector<std::string>& sets) {
    const auto run =
        read_run_config(std::string(FATHOM_TESTDATA) + "/../examples/train/tiny.toml", sets);
    return run_cost(*run, run_model(*run)->config);
  };
  const RunCost far = cost_with({"steps=9223372036854775807"});
  EXPECT_EQ(far.steps, std::numeric_limits<int64_t>::max());
  EXPECT_EQ(far.tokens, std::numeric_limits<int64_t>::max());
  const RunCost near =
      cost_with({"steps=9223372036854775807", "tokens=1000000000000", "data.batch=8"});
  EXPECT_EQ(near.steps, (1'000'000'000'000 + 2047) / 2048);
  EXPECT_EQ(near.tokens, near.steps * 2048);
}

}  // namespace
}  // namespace fathom
