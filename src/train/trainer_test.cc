// Goal: a run that is stopped, killed or sent back gives the bytes that it should. Method: the loop
// over a model of a few lines (a table of next-token logits, experts that are bias vectors chosen
// by a router bias), so that hundreds of steps take milliseconds.
#include "train/trainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>

#include "base/mix64.h"
#include "tests/support/temp_folder.h"

namespace fathom {
namespace {

using testing_support::TempFolder;

constexpr int64_t kVocab = 24;
constexpr int64_t kExperts = 4;
constexpr int64_t kLength = 12;

// logits of the token after x: table[x] + experts[chosen(x)] * gain.
class SmallModel : public Trainee {
 public:
  SmallModel() : values_(kSize), gradients_(kSize) {
    for (size_t i = 0; i < values_.size(); ++i)
      values_[i] = static_cast<float>(mix64(i) % 1000) * 1e-3f - 0.5f;
  }
  const std::vector<TrainedTensor>& tensors() const override { return tensors_; }
  std::span<float> values() override { return values_; }
  std::span<float> gradients() override { return gradients_; }
  std::vector<std::span<float>> router_biases() override { return {std::span(bias_)}; }
  void weights_changed() override { ++n_changes; }

  Result<LossSums> forward_backward(std::span<const int32_t> tokens, std::span<const uint8_t> mask,
                                    int64_t n_sequences, const LossWeights& weights) override {
    LossSums sums;
    sums.loads = {std::vector<int64_t>(kExperts)};
    for (int64_t s = 0; s < n_sequences; ++s) {
      for (int64_t i = 0; i < kLength; ++i) {
        const int32_t x = tokens[static_cast<size_t>(s * (kLength + 1) + i)];
        const int32_t y = tokens[static_cast<size_t>(s * (kLength + 1) + i + 1)];
        if (x == kPoison || y == kPoison) return poisoned(sums);
        if (mask[static_cast<size_t>(s * kLength + i)] != 0) add(x, y, weights, sums);
      }
    }
    return sums;
  }

  int n_changes = 0;
  static constexpr int32_t kPoison = kVocab;  // a token whose gradient is infinite

 private:
  static constexpr int64_t kTable = kVocab * kVocab, kExpertsSize = kExperts * kVocab;
  static constexpr int64_t kSize = kTable + kExpertsSize;

  Result<LossSums> poisoned(LossSums& sums) {
    gradients_[0] = std::numeric_limits<float>::infinity();
    sums.main = std::numeric_limits<double>::infinity();
    return sums;
  }
  size_t chosen(int32_t x) const {
    size_t best = 0;
    float best_score = -1e9f;
    for (size_t e = 0; e < kExperts; ++e) {
      const float affinity =
          static_cast<float>(mix64(static_cast<uint64_t>(x) * 8 + e) % 100) * 1e-3f;
      if (affinity + bias_[e] > best_score) best_score = affinity + bias_[best = e];
    }
    return best;
  }
  void add(int32_t x, int32_t y, const LossWeights& weights, LossSums& sums) {
    const size_t e = chosen(x);
    ++sums.loads[0][e];
    const size_t row = static_cast<size_t>(x) * kVocab;
    const size_t expert = kTable + e * kVocab;
    double p[kVocab], total = 0;
    for (size_t v = 0; v < kVocab; ++v)
      total += p[v] = std::exp(values_[row + v] + values_[expert + v]);
    sums.main -= std::log(p[y] / total);
    for (size_t v = 0; v < kVocab; ++v) {
      const double g = (p[v] / total - (static_cast<int32_t>(v) == y ? 1 : 0)) * weights.main_scale;
      gradients_[row + v] += static_cast<float>(g);
      gradients_[expert + v] += static_cast<float>(g);
    }
  }

  std::vector<TrainedTensor> tensors_ = {
      {.name = "experts", .shape = {kExperts, kVocab}, .offset = kTable, .size = kExpertsSize},
      {.name = "table", .shape = {kVocab, kVocab}, .offset = 0, .size = kTable, .decay = false}};
  std::vector<float> values_, gradients_;
  float bias_[kExperts] = {};
};

constexpr std::string_view kConfig = R"(
output = "run"
steps = 30
[model]
config = "unused"
[data]
sequence_length = 12
batch = [{ from = 2, value = 8, shape = "linear", until_step = 10 }, { value = 8 }]
micro_batch = 2
stages = [{ until_step = 12, sources = [{ path = "a" }] }, { sources = [{ path = "b" }] }]
[optimizer]
learning_rate = [{ value = 0.05, shape = "linear", until_step = 5 }, { value = 0.05 }]
clip = 0.5
[balance]
bias_speed = 0.01
[checkpoints]
every = 7
keep = 2
)";

class SmallRun {
 public:
  SmallRun(const TempFolder& folder, const std::vector<std::string>& sets = {}) {
    auto config = parse_run_config(kConfig, "run.toml", folder.path(), sets);
    EXPECT_TRUE(config.ok()) << config.error().message;
    config_ = *config;
    hooks.sequence = [this](int64_t stage, int64_t index, std::span<int32_t> tokens,
                            std::span<uint8_t> mask) -> Status {
      sequences.emplace_back(stage, index);
      uint64_t noise = mix64(static_cast<uint64_t>(stage * 1'000'000 + index));
      for (int32_t& token : tokens) {
        noise = mix64(noise);
        // Each token mostly follows from the one before.
        token = static_cast<int32_t>(&token == tokens.data() || noise % 4 == 0
                                         ? noise / 8 % kVocab
                                         : static_cast<uint64_t>(*(&token - 1)) * 7 % kVocab);
      }
      for (uint8_t& counts : mask) counts = &counts - mask.data() != 3;
      if (stage == bad_stage && index == bad_index) tokens[5] = SmallModel::kPoison;
      return {};
    };
    hooks.save_weights = [this](const std::string& path) {
      return write_file(path + "/model.safetensors", str_cat("weights ", ++n_saves), false);
    };
    hooks.wall_time = [] { return 1000.0; };
    hooks.note = [this](const std::string& text) { notes.push_back(text); };
    hooks.stop = [this] { return ++n_steps == stop_after; };
    hooks.report = [this](const StepReport& report) { losses.push_back(report.loss); };
  }
  Status train(bool resume, int n_threads = 1) {
    Pool pool(n_threads);
    auto trainer = Trainer::create(config_, {Isa::kRef, &pool}, model, hooks, resume);
    if (!trainer.ok()) return trainer.error();
    const Status status = (*trainer)->run();
    state = (*trainer)->state();
    return status;
  }
  bool same_weights(SmallRun& other) {
    const auto same = [](std::span<float> a, std::span<float> b) {
      return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
    };
    return same(model.values(), other.model.values()) &&
           same(model.router_biases()[0], other.model.router_biases()[0]);
  }

  SmallModel model;
  TrainerHooks hooks;
  RunState state;
  int n_steps = 0, stop_after = -1, n_saves = 0;
  int64_t bad_stage = -1, bad_index = -1;
  std::vector<std::pair<int64_t, int64_t>> sequences;
  std::vector<std::string> notes;
  std::vector<double> losses;

 private:
  RunConfig config_;
};

std::vector<std::string> entries(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

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
  EXPECT_NE(run.notes[0].find("spike"), std::string::npos);
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
