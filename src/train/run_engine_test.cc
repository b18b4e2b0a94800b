// Goal: a run's validation is what the engine says of the same weights and tokens. Method: a
// reference model, compared with the scorer; samples are drawn again.
#include "train/run_engine.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "engine/loaded_model.h"
#include "engine/scorer.h"

namespace fathom {
namespace {

class RunEngineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LoadModelOptions options;
    options.path = std::string(FATHOM_TESTDATA) + "/../models/default";
    options.attention = "naive";
    options.context = kLength + 1;
    auto loaded = load_model(options);
    ASSERT_TRUE(loaded.ok()) << loaded.error().message;
    model_ = std::move(*loaded);
    auto engine = RunEngine::create(model_->config, model_->weights, &*model_->tokenizer, kLength,
                                    model_->transformer->compute());
    ASSERT_TRUE(engine.ok()) << engine.error().message;
    engine_ = std::move(*engine);
    ids_ = model_->tokenizer->encode(
        "Once upon a time there was a king who had a daughter. She lived in a tower by the sea, "
        "and every morning she counted the ships that came home.");
    ASSERT_GT(static_cast<int64_t>(ids_.size()), kLength);
    ids_.resize(kLength + 1);
  }
  static constexpr int64_t kLength = 20;
  std::unique_ptr<LoadedModel> model_;
  std::unique_ptr<RunEngine> engine_;
  std::vector<int32_t> ids_;
};

TEST_F(RunEngineTest, EvaluatesAsTheScorerDoes) {
  const auto sequence = [&](int64_t, std::span<int32_t> tokens, std::span<uint8_t> mask) -> Status {
    std::copy(ids_.begin(), ids_.end(), tokens.begin());
    std::fill(mask.begin(), mask.end(), uint8_t{1});
    mask[4] = 0;  // ids_[5] does not count
    return {};
  };
  const auto result = engine_->evaluate(sequence, 2);
  ASSERT_TRUE(result.ok()) << result.error().message;
  Scorer scorer(*model_->transformer, *model_->kv,
                {.attention = AttentionForm::kNaive, .context = kLength + 1, .chunk = 7});
  const auto score = scorer.score(ids_);
  ASSERT_TRUE(score.ok());
  const double nll = score->nll + static_cast<double>(score->logprobs[5]);
  EXPECT_DOUBLE_EQ(result->loss, nll / (kLength - 1));
  std::vector<int32_t> counted(ids_.begin() + 1, ids_.end());
  counted.erase(counted.begin() + 4);
  size_t bytes = 0;
  for (int32_t id : counted) bytes += model_->tokenizer->token_bytes(id).size();
  EXPECT_DOUBLE_EQ(*result->bits_per_byte, nll / std::numbers::ln2 / static_cast<double>(bytes));
}

TEST_F(RunEngineTest, SamplesAreDrawnAgainAlike) {
  const auto first = engine_->sample({"Once upon", "The king"}, 12, 0.8, 7);
  ASSERT_TRUE(first.ok()) << first.error().message;
  ASSERT_EQ(first->size(), 2u);
  EXPECT_TRUE((*first)[0].starts_with("Once upon"));
  EXPECT_GT((*first)[0].size(), std::string("Once upon").size());
  EXPECT_EQ(*engine_->sample({"Once upon", "The king"}, 12, 0.8, 7), *first);
  EXPECT_FALSE(engine_->sample({std::string(500, 'x')}, 12, 0.8, 7).ok());
  EXPECT_TRUE(engine_->check_prompts({"Once upon", "The king"}).ok());
  EXPECT_FALSE(engine_->check_prompts({"Once upon", std::string(500, 'x')}).ok());
}

}  // namespace
}  // namespace fathom
