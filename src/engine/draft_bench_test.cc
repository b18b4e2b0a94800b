// Goal: the measure of drafts forces them as often as it is told, and its numbers are those of runs
// that gave the same tokens. Times themselves are never tested.
#include "engine/draft_bench.h"

#include <gtest/gtest.h>

#include "model/random_weights.h"
#include "tests/support/tiny_model.h"

namespace fathom {
namespace {

DraftBenchResult run(double acceptance) {
  const ModelConfig config = *parse_model_config(testing_support::kTinyConfig, "tiny");
  Pool pool(2), one(1);
  auto checkpoint = random_checkpoint(config, "random weights", {}, one);
  const ModelWeights weights =
      std::move(
          load_weights(config, std::make_shared<const Checkpoint>(std::move(checkpoint).value())))
          .value();
  const DraftBenchOptions options{.acceptance = acceptance, .tokens = 40, .repeat = 4};
  Transformer model(config, weights,
                    {.activations = Activations::kBf16,
                     .kv_dtype = KvDtype::kBf16,
                     .limits = draft_bench_limits(options)},
                    Compute{.isa = available_isas().back(), .pool = &pool});
  auto result = bench_drafts(model, options);
  EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
  return result.ok() ? *result : DraftBenchResult{};
}

TEST(DraftBench, DraftsAreRightAsOftenAsAskedFor) {
  EXPECT_EQ(run(0).acceptance, 0);
  EXPECT_GT(run(1).acceptance, 0.95);  // all but those beyond the answer's end
  const double some = run(0.7).acceptance;
  EXPECT_GT(some, 0.5);
  EXPECT_LT(some, 0.9);
}

TEST(DraftBench, GainsAreRatiosOfWhatWasMeasured) {
  const DraftBenchResult result = run(0.5);
  EXPECT_GT(result.t1, 0);
  EXPECT_GT(result.t2, 0);
  EXPECT_GT(result.t_module, 0);
  EXPECT_DOUBLE_EQ(result.gain(), result.drafts_tokens_per_s / result.plain_tokens_per_s);
  EXPECT_DOUBLE_EQ(result.expected_gain(),
                   (1 + result.acceptance) * result.t1 / (result.t2 + result.t_module));
}

}  // namespace
}  // namespace fathom
