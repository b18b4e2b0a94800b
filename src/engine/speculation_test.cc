// Goal: drafts go on where they pay, stop where they do not, and are tried again.
#include "engine/speculation.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

using Step = SpeculationMeter::Step;

// Runs n steps of a machine where a pass takes plain seconds, one with drafts with_drafts, the
// module's module; returns how many of them drafted.
int64_t run(SpeculationMeter& meter, int64_t n, int64_t n_answers, double plain, double with_drafts,
            double module, double acceptance) {
  int64_t drafted = 0, accepted = 0, verified = 0;
  for (int64_t i = 0; i < n; ++i) {
    const Step step = meter.next(n_answers);
    if (step == Step::kDraft) {
      ++drafted;
      verified += n_answers;
      const auto all = static_cast<int64_t>(acceptance * static_cast<double>(verified));
      meter.record_drafts(n_answers, all - accepted);
      accepted = all;
    }
    meter.record(step, n_answers, step == Step::kDraft ? with_drafts : plain, module);
  }
  return drafted;
}

TEST(SpeculationMeter, GoesOnWhereItPays) {
  SpeculationMeter meter;
  EXPECT_EQ(meter.gain(1), 0);
  EXPECT_GT(run(meter, 1000, 1, 0.10, 0.12, 0.01, 0.85), 900);
  EXPECT_NEAR(meter.acceptance(), 0.85, 0.02);
  EXPECT_NEAR(meter.gain(1), 1.85 * 0.10 / 0.13, 0.03);
}

TEST(SpeculationMeter, StopsWhereItDoesNotAndTriesAgain) {
  SpeculationMeter meter;
  EXPECT_LT(run(meter, 1000, 1, 0.10, 0.19, 0.02, 0.5), 40);
  // The machine has become quieter: found out after a while.
  run(meter, 2000, 1, 0.10, 0.11, 0.01, 0.5);
  EXPECT_GT(run(meter, 100, 1, 0.10, 0.11, 0.01, 0.5), 80);
}

TEST(SpeculationMeter, SizesOfBatchAreApart) {
  SpeculationMeter meter;
  run(meter, 200, 1, 0.10, 0.11, 0.01, 0.8);
  run(meter, 200, 16, 0.10, 0.20, 0.05, 0.8);
  EXPECT_EQ(meter.next(16), Step::kPlain);
  EXPECT_NE(meter.next(1), Step::kPlain);
  EXPECT_LT(meter.gain(17), 1);
  EXPECT_EQ(meter.gain(32), 0);
}

}  // namespace
}  // namespace fathom
