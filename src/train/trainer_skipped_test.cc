// Goal: steps that learn nothing cost no checkpoint, and a run that learns nothing any more ends.
// Method: the small run (trainer_testing.h) with batches whose gradients are infinite.
#include <gtest/gtest.h>

#include <cmath>

#include "train/trainer_testing.h"

namespace fathom {
namespace {

using trainer_testing::entries;
using trainer_testing::SmallRun;
using trainer_testing::TempFolder;

using Names = std::vector<std::string>;

TEST(TrainerSkipped, TwentyInARowEndTheRunAndTheCheckpointsStay) {
  TempFolder folder;
  SmallRun run(folder, {"steps=60", "checkpoints.every=4"});
  run.bad_from_step = 10;
  const Status status = run.train(false);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::kInvalid);
  EXPECT_NE(status.error().message.find("20 steps in a row, up to step 29"), std::string::npos)
      << status.error().message;
  EXPECT_NE(status.error().message.find("the last checkpoint is that of step 8"), std::string::npos)
      << status.error().message;
  EXPECT_EQ(entries(folder / "run/checkpoints"), (Names{"step-00000004", "step-00000008"}));
}

TEST(TrainerSkipped, AStopCountsOnAndKeepsTheOlderCheckpoints) {
  TempFolder folder;
  const Names sets = {"steps=60", "checkpoints.every=4"};
  SmallRun first(folder, sets);
  first.bad_from_step = 10;
  first.stop_after = 13;
  EXPECT_EQ(first.train(false).error().code, ErrorCode::kInterrupted);
  EXPECT_EQ(first.state.n_skipped, 4);
  const Names kept = {"step-00000004", "step-00000008", "step-00000013"};
  EXPECT_EQ(entries(folder / "run/checkpoints"), kept);
  SmallRun second(folder, sets);
  second.bad_from_step = 1;
  const Status status = second.train(true);
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.error().message.find("up to step 29"), std::string::npos)
      << status.error().message;
  EXPECT_EQ(entries(folder / "run/checkpoints"), kept);
  SmallRun third(folder, sets);  // without what was bad: the run goes on, the old ones go
  ASSERT_TRUE(third.train(true).ok());
  EXPECT_EQ(entries(folder / "run/checkpoints"), (Names{"step-00000056", "step-00000060"}));
}

TEST(TrainerSkipped, NoCheckpointIsDueAfterASkippedStep) {
  TempFolder folder;
  SmallRun run(folder, {"steps=13", "checkpoints.every=4", "checkpoints.keep=0"});
  run.bad_stage = 0;
  run.bad_index = 33;  // in step 8
  ASSERT_TRUE(run.train(false).ok());
  EXPECT_EQ(entries(folder / "run/checkpoints"),
            (Names{"step-00000004", "step-00000012", "step-00000013"}));
}

TEST(TrainerSkipped, WeightsThatAreNotFiniteAreNotWritten) {
  TempFolder folder;
  SmallRun run(folder);
  run.model.spoil_at = 15;  // after step 14
  const Status status = run.train(false);
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.error().message.find("table is not finite after step 14"), std::string::npos)
      << status.error().message;
  EXPECT_EQ(entries(folder / "run/checkpoints"), Names{"step-00000007"});
}

}  // namespace
}  // namespace fathom
