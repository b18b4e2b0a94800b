// Goal: a run that is stopped, killed or sent back gives the bytes that it should. Method: the loop
// over a model of a few lines (trainer_testing.h).
#include "train/trainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "train/trainer_testing.h"

namespace fathom {
namespace {

using trainer_testing::entries;
using trainer_testing::SmallModel;
using trainer_testing::SmallRun;
using trainer_testing::TempFolder;

TEST(Trainer, LearnsAndKeepsTheNewestCheckpoints) {
  TempFolder folder;
  SmallRun run(folder);
  ASSERT_TRUE(run.train(false).ok());
  EXPECT_EQ(run.state.step, 30);
  EXPECT_LT(run.losses.back(), 0.85 * run.losses.front());
  EXPECT_EQ(entries(folder / "run/checkpoints"),
            (std::vector<std::string>{"step-00000028", "step-00000030"}));
  // The second stage begins after 12 steps, with its own sequence 0.
  const auto second = std::find_if(run.sequences.begin(), run.sequences.end(),
                                   [](const auto& entry) { return entry.first == 1; });
  ASSERT_NE(second, run.sequences.end());
  EXPECT_EQ(second->second, 0);
  EXPECT_EQ((second - 1)->second, second - run.sequences.begin() - 1);
  EXPECT_EQ(run.state.stage_sequences, run.sequences.back().second + 1);
  EXPECT_FALSE(SmallRun(folder).train(false).ok());  // there is a run already
}

TEST(Trainer, StoppedAnywhereItGoesOnAsIfItHadNot) {
  TempFolder whole_folder;
  SmallRun whole(whole_folder);
  ASSERT_TRUE(whole.train(false).ok());
  for (int stop_after : {1, 6, 7, 12, 13, 29}) {
    TempFolder folder;
    SmallRun first(folder);
    first.stop_after = stop_after;
    const Status stopped = first.train(false);
    ASSERT_FALSE(stopped.ok());
    EXPECT_EQ(stopped.error().code, ErrorCode::kInterrupted);
    SmallRun second(folder);
    ASSERT_TRUE(second.train(true, 2).ok());
    EXPECT_TRUE(second.same_weights(whole)) << stop_after;
    EXPECT_EQ(second.losses.back(), whole.losses.back());
    EXPECT_EQ(static_cast<int>(second.losses.size()), 30 - stop_after);
    EXPECT_EQ(second.state.tokens, whole.state.tokens);
  }
}

TEST(Trainer, WhatAKilledRunLeftIsIgnoredAndRemoved) {
  TempFolder whole_folder;
  SmallRun whole(whole_folder);
  ASSERT_TRUE(whole.train(false).ok());
  TempFolder folder;
  SmallRun first(folder);
  first.stop_after = 9;
  ASSERT_FALSE(first.train(false).ok());
  // Killed while step 14 was written, and while step 2 was removed.
  for (const char* name : {".step-00000014.part", ".step-00000002.part"}) {
    std::filesystem::create_directories(folder / "run/checkpoints/" + name);
    testing_support::put_file(folder / "run/checkpoints/" + name + "/trainer_state.safetensors",
                              "half");
  }
  SmallRun second(folder);
  ASSERT_TRUE(second.train(true).ok());
  EXPECT_TRUE(second.same_weights(whole));
  EXPECT_EQ(entries(folder / "run/checkpoints").size(), 2u);
}

TEST(Trainer, AnotherConfigurationIsNotContinued) {
  TempFolder folder;
  SmallRun first(folder);
  first.stop_after = 9;
  ASSERT_FALSE(first.train(false).ok());
  const Status other = SmallRun(folder, {"optimizer.clip=0.25"}).train(true);
  ASSERT_FALSE(other.ok());
  EXPECT_NE(other.error().message.find("another configuration"), std::string::npos);
  EXPECT_TRUE(SmallRun(folder, {"steps=11", "checkpoints.keep=1"}).train(true).ok());
  EXPECT_EQ(entries(folder / "run/checkpoints"), std::vector<std::string>{"step-00000011"});
  TempFolder empty;
  EXPECT_FALSE(SmallRun(empty).train(true).ok());
}

TEST(Trainer, DamagedStatesAreErrors) {
  TempFolder folder;
  SmallRun first(folder);
  first.stop_after = 2;
  ASSERT_FALSE(first.train(false).ok());
  const std::string path = folder / "run/checkpoints/step-00000002/trainer_state.safetensors";
  auto bytes = read_file(path);
  ASSERT_TRUE(bytes.ok());
  for (size_t n : {size_t{0}, size_t{7}, bytes->size() / 2, bytes->size() - 1}) {
    testing_support::put_file(path, bytes->substr(0, n));
    EXPECT_FALSE(SmallRun(folder).train(true).ok()) << n;
  }
  for (const auto& [from, to] : {std::pair{"\"table\"", "\"tabel\""},
                                 {".table", ".tabel"},
                                 {"\\\"step\\\"", "\\\"stop\\\""}}) {
    std::string changed = *bytes;
    const size_t at = changed.find(from);
    if (at == std::string::npos) continue;
    testing_support::put_file(path, changed.replace(at, std::string(from).size(), to));
    EXPECT_FALSE(SmallRun(folder).train(true).ok()) << from;
  }
}

TEST(Trainer, GradientsThatAreNotFiniteUpdateNothing) {
  TempFolder folder;
  SmallRun run(folder, {"steps=1"});
  run.bad_stage = run.bad_index = 0;
  const std::vector<float> before(run.model.values().begin(), run.model.values().end());
  ASSERT_TRUE(run.train(false).ok());
  EXPECT_TRUE(std::equal(before.begin(), before.end(), run.model.values().begin()));
  ASSERT_EQ(run.notes.size(), 1u);
  EXPECT_NE(run.notes[0].find("not finite"), std::string::npos);
}

TEST(Trainer, ASpikeSendsTheRunBackPastItsBatches) {
  const std::vector<std::string> sets = {"spikes.rollback=true"};
  TempFolder folder;
  SmallRun run(folder, sets);
  run.bad_stage = 1;
  run.bad_index = 21;
  ASSERT_TRUE(run.train(false).ok());
  EXPECT_EQ(run.state.step, 30);
  EXPECT_EQ(run.state.spikes.n_rollbacks, 1);
  for (float v : run.model.values()) ASSERT_TRUE(std::isfinite(v));
  // The bad sequence was taken once, in step 15; the run went back to step 14, and from there on
  // past the batch.
  EXPECT_EQ(
      std::count(run.sequences.begin(), run.sequences.end(), std::pair<int64_t, int64_t>(1, 21)),
      1);
  EXPECT_EQ(static_cast<int>(run.losses.size()), 30);
  // Stopped after the rollback, resumed: the same.
  TempFolder other_folder;
  SmallRun first(other_folder, sets);
  first.bad_stage = 1;
  first.bad_index = 21;
  first.stop_after = 18;
  ASSERT_FALSE(first.train(false).ok());
  SmallRun second(other_folder, sets);
  ASSERT_TRUE(second.train(true).ok());
  EXPECT_TRUE(second.same_weights(run));
}

TEST(Trainer, SaveComesBeforeEvaluateAndSample) {
  TempFolder folder;
  SmallRun run(folder, {"steps=7", "evaluate.every=7", "sample.every=7", "tokenizer=x",
                        "sample.prompts=[\"a\"]"});
  std::vector<std::string> order;
  run.hooks.save_weights = [&](const std::string&) {
    order.emplace_back("save");
    return Status();
  };
  run.hooks.evaluate = [&]() -> Result<Evaluation> {
    order.emplace_back("evaluate");
    return Evaluation{.loss = 2.5, .bits_per_byte = 1.25};
  };
  run.hooks.sample = [&]() -> Result<std::vector<std::string>> {
    order.emplace_back("sample");
    return std::vector<std::string>{"a text"};
  };
  ASSERT_TRUE(run.train(false).ok());
  EXPECT_EQ(order, (std::vector<std::string>{"save", "evaluate", "sample"}));
  const auto log = read_file(folder / "run/log.jsonl");
  ASSERT_TRUE(log.ok());
  EXPECT_NE(log->find("{\"step\":7,\"validation_loss\":2.5,\"validation_bits_per_byte\":1.25,"
                      "\"samples\":[\"a text\"]}"),
            std::string::npos);
  EXPECT_EQ(std::count(log->begin(), log->end(), '\n'), 8);
}

TEST(Trainer, WhatWasDueWhenItWasStoppedIsShownOnce) {
  TempFolder folder;
  const std::vector<std::string> sets = {"steps=12", "evaluate.every=4"};
  int n_evaluated = 0;
  const auto evaluate = [&]() -> Result<Evaluation> {
    ++n_evaluated;
    return Evaluation{.loss = 2.0, .bits_per_byte = {}};
  };
  SmallRun first(folder, sets);
  first.hooks.evaluate = evaluate;
  first.stop_after = 4;
  ASSERT_FALSE(first.train(false).ok());
  EXPECT_EQ(n_evaluated, 0);  // stopped: there is no time for it
  for (int stop_after : {2, -1}) {
    SmallRun next(folder, sets);
    next.hooks.evaluate = evaluate;
    next.stop_after = stop_after;
    EXPECT_EQ(next.train(true).ok(), stop_after < 0);
  }
  EXPECT_EQ(n_evaluated, 3);  // after 4, 8 and 12 steps
  EXPECT_TRUE(SmallRun(folder, sets).train(true).ok());
  EXPECT_EQ(n_evaluated, 3);
}

TEST(Trainer, OneProcessTrainsInAFolder) {
  TempFolder folder;
  const auto held = RunFolder::open(folder / "run");
  ASSERT_TRUE(held.ok());
  const Status status = SmallRun(folder).train(false);
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.error().message.find("another process trains in"), std::string::npos);
}

TEST(RunFolder, StandsForItsLatestCheckpoint) {
  TempFolder folder;
  EXPECT_EQ(*latest_model_folder(folder.path()), folder.path());
  std::filesystem::create_directories(folder / "checkpoints/.step-00000300.part");
  EXPECT_FALSE(latest_model_folder(folder.path()).ok());
  for (const char* name : {"step-00000020", "step-100000000", "step-00000300x", "step-9"})
    std::filesystem::create_directories(folder / "checkpoints/" + name);
  EXPECT_EQ(*latest_model_folder(folder.path()), folder / "checkpoints/step-100000000");
}

}  // namespace
}  // namespace fathom
