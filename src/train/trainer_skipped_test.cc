// Goal: steps that learn nothing cost no checkpoint, a run that learns nothing any more ends, and
// the log tells of spikes, skipped steps and rollbacks. Method: the small run (trainer_testing.h)
// with batches whose gradients are infinite, or of other text.
#include <gtest/gtest.h>

#include <filesystem>
#include <span>

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

// Lines of the log that have a field.
std::vector<Json> lines_with(const TempFolder& folder, std::string_view field) {
  const std::string log = testing_support::get_file(folder / "run/log.jsonl");
  std::vector<Json> out;
  for (size_t begin = 0; begin < log.size(); begin = log.find('\n', begin) + 1) {
    Json line =
        parse_json(std::string_view(log).substr(begin, log.find('\n', begin) - begin)).value();
    if (line.find(field) != nullptr) out.push_back(std::move(line));
  }
  return out;
}

TEST(TrainerSkipped, TheLogHasSkippedStepsAndRollbacks) {
  TempFolder plain_folder;
  SmallRun plain(plain_folder);
  plain.bad_stage = 1;
  plain.bad_index = 21;  // in step 15
  ASSERT_TRUE(plain.train(false).ok());
  const std::vector<Json> skipped = lines_with(plain_folder, "skipped");
  ASSERT_EQ(skipped.size(), 1u);
  EXPECT_EQ(skipped[0].find("step")->as_int(), 15);
  EXPECT_TRUE(skipped[0].find("spike")->as_bool());
  ASSERT_EQ(plain.notes.size(), 1u);
  EXPECT_EQ(plain.notes[0], "step 15, loss inf: the gradients are not finite, nothing was updated");

  // Stopped later and resumed, or killed before the next checkpoint: one line of the rollback.
  const Names sets = {"spikes.rollback=true"};
  for (const int stop_after : {16, 18, -1}) {
    TempFolder folder;
    SmallRun run(folder, sets);
    run.bad_stage = 1;
    run.bad_index = 21;
    run.stop_after = stop_after;
    EXPECT_EQ(run.train(false).ok(), stop_after < 0);
    if (stop_after == 16) std::filesystem::remove_all(folder / "run/checkpoints/step-00000016");
    SmallRun again(folder, sets);
    again.bad_stage = 1;
    again.bad_index = 21;
    ASSERT_TRUE(again.train(true).ok());
    const std::vector<Json> rollbacks = lines_with(folder, "rollback");
    ASSERT_EQ(rollbacks.size(), 1u) << stop_after;
    EXPECT_EQ(rollbacks[0].dump(),
              "{\"step\":14,\"rollback\":1,\"from_step\":15,\"spike_loss\":null,\"skipped\":true}");
    EXPECT_EQ(lines_with(folder, "loss_main").size(), 30u);
  }
}

// Text whose loss is higher begins with a stage: that is no spike, and nothing goes back for it.
TEST(TrainerSkipped, AStageIsANewLevel) {
  TempFolder folder;
  SmallRun run(folder,
               {"spikes.rollback=true", "spikes.factor=2", "spikes.warmup_steps=4", "steps=110",
                "data.stages=[{until_step=100,sources=[{path='a'}]},"
                "{sources=[{path='b'}]}]"});
  run.hooks.sequence = [](int64_t stage, int64_t index, std::span<int32_t> tokens,
                          std::span<uint8_t> mask) -> Status {
    for (size_t i = 0; i < tokens.size(); ++i)
      tokens[i] =
          stage == 0 ? 1 : static_cast<int32_t>((static_cast<uint64_t>(index) + i * 7) % 20);
    std::fill(mask.begin(), mask.end(), uint8_t{1});
    return {};
  };
  ASSERT_TRUE(run.train(false).ok());
  ASSERT_EQ(run.losses.size(), 110u);
  SpikeState one_level;
  const SpikeDetector detector(2, 4);
  for (size_t i = 0; i < 100; ++i) detector.observe(run.losses[i], one_level);
  EXPECT_TRUE(detector.observe(run.losses[100], one_level)) << "it would be one";
  EXPECT_EQ(run.state.spikes.n_rollbacks, 0);
  EXPECT_TRUE(lines_with(folder, "spike").empty());
}

}  // namespace
}  // namespace fathom
