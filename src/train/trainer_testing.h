// For tests of the training loop: a model of a few lines (a table of next-token logits, experts
// that are bias vectors chosen by a router bias) and a run of it, so that hundreds of steps take
// milliseconds.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mix64.h"
#include "tests/support/temp_folder.h"
#include "train/trainer.h"

namespace fathom::trainer_testing {

using testing_support::TempFolder;

inline constexpr int64_t kVocab = 24;
inline constexpr int64_t kExperts = 4;
inline constexpr int64_t kLength = 12;

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
  void weights_changed() override {
    if (++n_changes == spoil_at) values_[0] = std::numeric_limits<float>::quiet_NaN();
  }
  int64_t n_mtp_modules() const override { return 0; }

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

  int n_changes = 0, spoil_at = -1;
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
    sums.main -= std::log(p[y] / total) * weights.main_scale;
    for (size_t v = 0; v < kVocab; ++v) {
      const double g = (p[v] / total - (static_cast<int32_t>(v) == y ? 1 : 0)) *
                       weights.main_scale * weights.gradient_scale;
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

inline constexpr std::string_view kConfig = R"(
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
    config_ = config.value();
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
      const bool bad = (stage == bad_stage && index == bad_index) || n_steps >= bad_from_step - 1;
      if (bad) tokens[5] = SmallModel::kPoison;
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
    auto trainer = Trainer::create(config_, {isa, &pool}, model, hooks, resume);
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
  Isa isa = Isa::kRef;
  RunState state;
  int n_steps = 0, stop_after = -1, n_saves = 0;
  int64_t bad_stage = -1, bad_index = -1;
  int bad_from_step = std::numeric_limits<int>::max();  // of those of this process
  std::vector<std::pair<int64_t, int64_t>> sequences;
  std::vector<std::string> notes;
  std::vector<double> losses;

 private:
  RunConfig config_;
};

inline std::vector<std::string> entries(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace fathom::trainer_testing
