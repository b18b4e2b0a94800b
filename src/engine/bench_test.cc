// Goal: what `fathom bench` measures is the model: its results add up, and random weights give the
// same logits from memory and from a folder. Times themselves are never tested.
#include "engine/bench.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/machine.h"
#include "io/checkpoint_save.h"
#include "model/random_weights.h"
#include "tests/support/tiny_model.h"

namespace fathom {
namespace {

using testing_support::TempFolder;

constexpr WorkspaceLimits kLimits = {
    .max_rows = 16, .max_sequences = 4, .max_context = 32, .max_logit_rows = 4};

struct Model {
  Model(std::string_view text, Checkpoint checkpoint)
      : config(*parse_model_config(text, "tiny")), pool(2) {
    weights =
        std::move(load_weights(config, std::make_shared<const Checkpoint>(std::move(checkpoint))))
            .value();
    const ModelOptions options{
        .activations = config.quantization_config ? Activations::kFp8 : Activations::kBf16,
        .kv_dtype = KvDtype::kBf16,
        .limits = kLimits};
    transformer = std::make_unique<Transformer>(
        config, weights, options, Compute{.isa = available_isas().back(), .pool = &pool});
  }
  static Checkpoint random(std::string_view text) {
    Pool one(1);
    return std::move(
               random_checkpoint(*parse_model_config(text, "tiny"), "random weights", {}, one))
        .value();
  }

  std::vector<float> logits(const std::vector<int32_t>& tokens) {
    auto kv_pool = KvPool::create(transformer->kv_layout(), transformer->n_kv_layers(), 1 << 20);
    KvSequence kv(*kv_pool, kLimits.max_context);
    EXPECT_TRUE(kv.reserve(static_cast<int64_t>(tokens.size())));
    const BatchSequence sequence = {
        .tokens = tokens, .first_position = 0, .absorbed = false, .kv = &kv};
    const float* hidden = transformer->forward({.sequences = {&sequence, 1}});
    const int32_t last = static_cast<int32_t>(tokens.size()) - 1;
    std::vector<float> out(static_cast<size_t>(config.vocab_size));
    transformer->logits(hidden, {&last, 1}, out.data());
    return out;
  }

  ModelConfig config;
  Pool pool;
  ModelWeights weights;
  std::unique_ptr<Transformer> transformer;
};

TEST(RandomModel, GivesTheSameFiniteLogitsFromMemoryAndFromAFolder) {
  for (const std::string_view text :
       {testing_support::kTinyConfig, testing_support::kTinyFp8Config}) {
    const TempFolder folder;
    Model in_memory(text, Model::random(text));
    ASSERT_TRUE(
        save_checkpoint(*in_memory.weights.checkpoint, std::string(text), folder.path(), {}).ok());
    Model from_folder(text,
                      std::move(Checkpoint::open(*ModelFiles::open_folder(folder.path()))).value());
    const std::vector<float> logits = in_memory.logits({3, 1, 4, 1, 5, 9});
    for (const float value : logits) ASSERT_TRUE(std::isfinite(value));
    EXPECT_EQ(logits, from_folder.logits({3, 1, 4, 1, 5, 9}));
    EXPECT_NE(logits, in_memory.logits({3, 1, 4, 1, 5, 8}));
  }
}

TEST(Bench, ResultsAddUp) {
  Model model(testing_support::kTinyFp8Config, Model::random(testing_support::kTinyFp8Config));
  const MachineMeter meter(1 << 20);
  const std::vector<BenchTest> tests = {
      {BenchTest::Kind::kPrefill, 20, 1, 3},  // two passes: 16 and 4 tokens
      {BenchTest::Kind::kDecode, 0, 1, 0},
      {BenchTest::Kind::kDecode, 0, 4, 31}};
  int n_runs = 0;
  const BenchOptions options{
      .repeat = 3, .seconds = 0.001, .prefill_rows = 16, .on_run = [&] { ++n_runs; }};
  const WorkspaceLimits limits = Bench::limits(tests, options.prefill_rows);
  EXPECT_EQ(limits.max_rows, 16);
  EXPECT_EQ(limits.max_sequences, 4);
  EXPECT_EQ(limits.max_context, 32);
  EXPECT_EQ(limits.max_logit_rows, 4);
  auto bench = Bench::create(*model.transformer, Activations::kFp8, meter, tests, options);
  ASSERT_TRUE(bench.ok()) << bench.error().message;
  for (const BenchTest& test : tests) {
    const auto run = bench->run(test);
    ASSERT_TRUE(run.ok()) << run.error().message;
    const BenchResult& result = *run;
    ASSERT_EQ(result.runs.size(), 3u);
    std::vector<double> runs = result.runs;
    std::sort(runs.begin(), runs.end());
    EXPECT_EQ(result.tokens_per_s, runs[1]);
    EXPECT_GT(runs[0], 0);
    EXPECT_DOUBLE_EQ(result.seconds_per_step * result.tokens_per_s,
                     static_cast<double>(test.tokens()));
    const double read = 0.5e9 * (result.before.read_gb_s + result.after.read_gb_s);
    const double peak = 0.5e9 * (result.before.bf16_gflop_s + result.after.bf16_gflop_s);
    EXPECT_DOUBLE_EQ(result.share_of_bandwidth,
                     result.bytes_per_step / result.seconds_per_step / read);
    EXPECT_DOUBLE_EQ(result.share_of_peak, result.ops_per_step / result.seconds_per_step / peak);
    EXPECT_EQ(result.limit == BenchLimit::kBandwidth,
              result.share_of_bandwidth >= result.share_of_peak);
    // One MoE layer of four experts; a token takes two.
    const double n_passes = test.n_prompt > 0 ? 2 : 1;
    EXPECT_GE(result.experts_per_step, 2 * n_passes);
    EXPECT_LE(result.experts_per_step, 4 * n_passes);
  }
  EXPECT_EQ(n_runs, 9);
}

TEST(Machine, SaysWhatItHas) {
  EXPECT_FALSE(cpu_name().empty());
  EXPECT_GT(available_memory_bytes(), 0);
  EXPECT_GT(peak_memory_bytes(), 1 << 20);
}

}  // namespace
}  // namespace fathom
