// Goal: whatever stops a run, going on gives the bytes of never having stopped. Method: the program
// killed at random moments, interrupted, denied the disk and the folder's lock; final checkpoints
// and logs compared with those of an uninterrupted run.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>

#include "tests/e2e/training_run.h"

namespace fathom::test {
namespace {

constexpr int64_t kSteps = 20;

uint64_t test_seed() {
  const char* given = std::getenv("FATHOM_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : 6;
  std::printf("FATHOM_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

// Checkpoints every second step, so that most kills hit the writing of one.
const Words kOften = {"checkpoints.every=2", "evaluate.every=4", "sample.every=6"};

void wait_for_step(const TrainingFolder& folder, const std::string& output, int64_t step,
                   RunningFathom& program) {
  const std::string line = "\"step\":" + std::to_string(step) + ",";
  for (int64_t waited_ms = 0; waited_ms < 60'000 && !program.ended(); ++waited_ms) {
    const std::string log = folder.output(output) + "/log.jsonl";
    if (std::filesystem::exists(log) && read_file(log).find(line) != std::string::npos) return;
    ::usleep(1000);
  }
  FAIL() << "step " << step << " did not come";
}

TEST(TrainStopped, KilledAtRandomMomentsItGoesOnToTheSameBytes) {
  const TrainingFolder folder;
  const auto start = std::chrono::steady_clock::now();
  train_well(folder.train("whole", kOften));
  const auto whole_us = std::chrono::duration_cast<std::chrono::microseconds>(
                            std::chrono::steady_clock::now() - start)
                            .count();
  std::mt19937_64 random(test_seed());
  int n_killed = 0;
  bool complete = false;
  for (int tries = 0; !complete; ++tries) {
    ASSERT_LT(tries, 200) << "no end";
    // A run that was killed before its first checkpoint was complete begins again.
    const std::vector<int64_t> before = folder.checkpoints("killed");
    const bool fresh = std::ranges::none_of(before, [](int64_t step) { return step >= 0; });
    Words arguments = fresh ? folder.train("killed", kOften) : folder.resume("killed");
    arguments.emplace_back("--quiet");
    const std::string errors = folder.output("errors");
    RunningFathom program(arguments, 0, errors);
    if (n_killed < 6) {
      ::usleep(static_cast<useconds_t>(random() % static_cast<uint64_t>(whole_us / 2)));
      program.send(SIGKILL);
    }
    const int code = program.wait();
    complete = code == 0;
    ASSERT_TRUE(complete || code == 128 + SIGKILL) << code << " " << read_file(errors);
    n_killed += complete ? 0 : 1;
    if (complete && n_killed == 0) {  // faster than the first was
      std::filesystem::remove_all(folder.output("killed"));
      complete = false;
    }
    for (const int64_t step : folder.checkpoints("killed")) {
      if (step < 0) continue;  // half-written or half-removed, under another name
      const RunResult scored = run_fathom({"score", "--model", folder.checkpoint("killed", step)},
                                          {.input = "{\"ids\": [1, 2, 3]}\n"});
      EXPECT_EQ(scored.exit_code, 0) << scored.err;
    }
  }
  EXPECT_EQ(folder.checkpoints("killed"), folder.checkpoints("whole"));
  expect_same_files(folder.checkpoint("whole", kSteps), folder.checkpoint("killed", kSteps));
  EXPECT_EQ(folder.log_text("whole"), folder.log_text("killed"));
}

// Killed between the writing of a checkpoint and the removal of the oldest.
TEST(TrainStopped, CheckpointsTooManyAreRemovedWhenItGoesOn) {
  const TrainingFolder folder;
  train_well(folder.train("run", {"checkpoints.keep=0"}));
  ASSERT_EQ(folder.checkpoints("run"), (std::vector<int64_t>{5, 10, 15, 20}));
  train_well(folder.resume("run", {"checkpoints.keep=3"}));
  EXPECT_EQ(folder.checkpoints("run"), (std::vector<int64_t>{10, 15, 20}));
}

TEST(TrainStopped, CtrlCAndSigtermFinishTheStepAndWriteACheckpoint) {
  for (const int signal : {SIGTERM, SIGINT}) {
    SCOPED_TRACE(signal);
    const TrainingFolder folder;
    // Without an end in sight and without checkpoints of its own.
    RunningFathom program(
        folder.train("stopped", {"steps=1000000", "checkpoints.every=0", "evaluate.every=0"}));
    wait_for_step(folder, "stopped", 3, program);
    program.send(signal);
    EXPECT_EQ(program.wait(), 130);
    const std::vector<int64_t> checkpoints = folder.checkpoints("stopped");
    ASSERT_EQ(checkpoints.size(), 1u);
    const int64_t stop = checkpoints[0];
    EXPECT_GE(stop, 3);
    EXPECT_EQ(folder.log("stopped").back().find("step")->as_int(), stop) << "the step it finished";
    const std::string end = "steps=" + std::to_string(stop + 2);
    train_well(folder.train("whole", {end, "evaluate.every=0"}));
    train_well(folder.resume("stopped", {end, "evaluate.every=0"}));
    expect_same_files(folder.checkpoint("whole", stop + 2), folder.checkpoint("stopped", stop + 2));
  }
}

TEST(TrainStopped, OnATerminalCtrlCEndsWithinAStep) {
  const TrainingFolder folder;
  Words arguments = folder.train("run", {"steps=1000000"});
  arguments.insert(arguments.begin(), FATHOM_BINARY);
  Terminal terminal(arguments);
  ASSERT_TRUE(terminal.expect("step 1/")) << terminal.output();
  terminal.type("\x03");
  EXPECT_TRUE(terminal.expect("stopped after step ")) << terminal.output();
  EXPECT_TRUE(terminal.expect("fathom train --resume " + folder.output("run") + " goes on"))
      << terminal.output();
  EXPECT_EQ(terminal.wait(), 130);
  EXPECT_EQ(folder.checkpoints("run").empty(), false);
}

TEST(TrainStopped, AFullDiskIsOneSentenceAndTheRunGoesOnLater) {
  const TrainingFolder folder;
  train_well(folder.train("whole", kOften));
  train_well(folder.train("full", {"steps=4", "checkpoints.every=2"}));
  // No file may grow beyond it: the log may, a checkpoint not.
  RunningFathom program(folder.resume("full", {"steps=20"}), 30'000);
  EXPECT_EQ(program.wait(), 1);
  EXPECT_EQ(folder.checkpoints("full"), (std::vector<int64_t>{2, 4})) << "nothing half-written";
  train_well(folder.resume("full", {"steps=20"}));
  expect_same_files(folder.checkpoint("whole", kSteps), folder.checkpoint("full", kSteps));
}

TEST(TrainStopped, TwoProcessesDoNotTrainInOneFolder) {
  const TrainingFolder folder;
  RunningFathom program(folder.train("run", {"steps=1000000", "checkpoints.every=1"}));
  wait_for_step(folder, "run", 3, program);
  const RunResult second = run_fathom(folder.resume("run"));
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_NE(second.err.find("another process trains in"), std::string::npos) << second.err;
  program.send(SIGTERM);
  EXPECT_EQ(program.wait(), 130);
}

}  // namespace
}  // namespace fathom::test
