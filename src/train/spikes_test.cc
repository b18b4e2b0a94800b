// Goal: a spike is found, a new level is no spike for long, and the recipe that made the default
// model has none. Method: made-up losses, and the log of that run.
#include "train/spikes.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/mix64.h"
#include "io/files.h"
#include "io/json.h"
#include "train/run_config.h"

namespace fathom {
namespace {

// Around a level, within 2 % of it.
double loss_at(double level, uint64_t step) {
  return level * (0.98 + 0.04 * static_cast<double>(mix64(step) % 1000) * 1e-3);
}

SpikeState after_steps(const SpikeDetector& detector, double level, uint64_t n) {
  SpikeState state;
  for (uint64_t step = 0; step < n; ++step)
    EXPECT_FALSE(detector.observe(loss_at(level, step), state));
  return state;
}

TEST(Spikes, OneIsFoundAndChangesNothing) {
  const SpikeDetector detector(8, 100);
  SpikeState state = after_steps(detector, 3, 200);
  const double mean = state.mean;
  EXPECT_TRUE(detector.observe(4.5, state));
  EXPECT_TRUE(detector.observe(std::numeric_limits<double>::infinity(), state));
  EXPECT_EQ(state.mean, mean);
  EXPECT_FALSE(detector.observe(3, state));
  EXPECT_EQ(state.n_in_row, 0);
}

TEST(Spikes, ANewLevelIsOneAfterFiveSteps) {
  const SpikeDetector detector(8, 100);
  SpikeState state = after_steps(detector, 3, 200);
  state.n_rollbacks = 2;
  int n_spikes = 0;
  for (uint64_t step = 0; step < 300; ++step)
    n_spikes += detector.observe(loss_at(6, step), state) ? 1 : 0;
  EXPECT_EQ(n_spikes, SpikeDetector::kInRowMax);
  EXPECT_NEAR(state.mean, 6, 0.2);
  EXPECT_EQ(state.n_rollbacks, 2);
  EXPECT_TRUE(detector.observe(9, state)) << "above the new level";
}

TEST(Spikes, TheDefaultFactorFindsNoneInTheDefaultModelsRun) {
  const auto log =
      read_file(std::string(FATHOM_TESTDATA) + "/../models/default/training/log.jsonl");
  ASSERT_TRUE(log.ok()) << log.error().message;
  const SpikeConfig config;
  const SpikeDetector detector(config.factor, config.warmup_steps);
  EXPECT_GT(config.factor, 0);
  SpikeState state;
  for (size_t begin = 0; begin < log->size(); begin = log->find('\n', begin) + 1) {
    const Json line =
        parse_json(std::string_view(*log).substr(begin, log->find('\n', begin) - begin)).value();
    const Json* loss = line.find("loss");
    if (loss == nullptr) continue;
    EXPECT_FALSE(detector.observe(loss->as_double(), state)) << line.find("step")->as_int();
  }
  EXPECT_GT(state.n_seen, 2 * config.warmup_steps);
}

}  // namespace
}  // namespace fathom
