// Goal: the trainer's forward pass and the engine on the trainer's checkpoint give the same
// log-probabilities, to the bit. Method: a model with random weights in every precision and on
// every instruction set, saved, loaded and scored in other chunks; the trainer's loss token by
// token.
#include <gtest/gtest.h>

#include "engine/loaded_model.h"
#include "engine/scorer.h"
#include "io/checkpoint_save.h"
#include "model/trainable_model.h"
#include "tests/support/tiny_model.h"

namespace fathom {
namespace {

using testing_support::TempFolder;

constexpr int64_t kLength = 40;
constexpr int64_t kVocab = 32;

std::vector<int32_t> some_tokens() {
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i <= kLength; ++i)
    tokens.push_back(static_cast<int32_t>((i * i * 7 + 3 * i + 5) % kVocab));
  return tokens;
}

// The log-probabilities of tokens 1, 2, ... by the trainer: one target counts at a time.
std::vector<float> trained(TrainableModel& model, const std::vector<int32_t>& tokens) {
  std::vector<float> out;
  for (size_t i = 0; i < kLength; ++i) {
    std::vector<uint8_t> mask(kLength);
    mask[i] = 1;
    LossWeights weights;
    weights.main_scale = 1;
    out.push_back(static_cast<float>(-model.forward_backward(tokens, mask, 1, weights).main));
  }
  return out;
}

void expect_same(std::string_view config_text, TrainingPrecision precision, Isa isa) {
  SCOPED_TRACE(isa_name(isa));
  const ModelConfig config = parse_model_config(config_text, "tiny").value();
  Pool pool(2);
  TrainableOptions options;
  options.precision = precision;
  options.max_sequences = 1;
  options.sequence_length = kLength;
  options.init_std = 0.2;
  const auto model = TrainableModel::create(config, options, {isa, &pool}).value();
  // Masters that the stored weights only come near.
  for (float& v : model->values()) v *= 1.01f;
  for (const std::span<float> bias : model->router_biases()) bias[0] = 0.01f;
  model->weights_changed();

  TempFolder folder;
  ASSERT_TRUE(
      save_checkpoint(model->checkpoint(), std::string(config_text), folder.path(), {}).ok());
  LoadModelOptions load;
  load.path = folder.path();
  load.needs_tokenizer = false;
  load.attention = "naive";
  load.isa = isa_name(isa);
  load.context = kLength + 1;
  auto loaded = load_model(load);
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  Scorer scorer(*(*loaded)->transformer, *(*loaded)->kv,
                {.attention = AttentionForm::kNaive, .context = kLength + 1, .chunk = 7});
  const std::vector<int32_t> tokens = some_tokens();
  const auto score = scorer.score(tokens);
  ASSERT_TRUE(score.ok());
  const std::vector<float> want(score->logprobs.begin() + 1, score->logprobs.end());
  EXPECT_EQ(trained(*model, tokens), want);
}

TEST(TrainerEquivalence, Fp8) {
  for (const Isa isa : available_isas())
    expect_same(testing_support::kTinyFp8Config, TrainingPrecision::kFp8, isa);
}

std::string with_dtype(std::string_view config, std::string_view dtype) {
  std::string text(config);
  return text.insert(1, str_cat("\"torch_dtype\":\"", dtype, "\","));
}

TEST(TrainerEquivalence, Bf16) {
  const std::string config = with_dtype(testing_support::kTinyConfig, "bfloat16");
  for (const Isa isa : available_isas()) expect_same(config, TrainingPrecision::kBf16, isa);
}

TEST(TrainerEquivalence, Fp32) {
  const std::string config = with_dtype(testing_support::kTinyConfig, "float32");
  for (const Isa isa : available_isas()) expect_same(config, TrainingPrecision::kFp32, isa);
}

}  // namespace
}  // namespace fathom
