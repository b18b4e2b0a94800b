// Goal: the bytes and operations that speeds are judged by are right. Method: arithmetic by hand on
// a tiny model, and the sum of a checkpoint's tensors.
#include "engine/step_cost.h"

#include <gtest/gtest.h>

#include "model/random_weights.h"
#include "model/transformer.h"
#include "tests/support/tiny_model.h"

namespace fathom {
namespace {

struct Model {
  explicit Model(std::string_view text) : config(*parse_model_config(text, "tiny")) {
    Pool pool(1);
    auto checkpoint = random_checkpoint(config, "random weights", {}, pool);
    weights =
        std::move(load_weights(config, std::make_shared<const Checkpoint>(std::move(*checkpoint))))
            .value();
  }
  ModelConfig config;
  ModelWeights weights;
};

// Sizes of the tiny config (BF16; norms and biases are held as F32). Matrices of one layer's
// attention: q_a 12*24, q_b 24*12, kv_a 20*24, kv_b 32*16, o 24*16; dense MLP 3*40*24; an expert,
// and the shared one, 3*16*24; router 4*24.
constexpr int64_t kAttention = 288 + 288 + 480 + 512 + 384;
constexpr int64_t kDenseMlp = 2880, kExpert = 1152, kRouter = 96, kHead = 32 * 24;
constexpr int64_t kNormBytes = (2 * (12 + 16 + 24 + 24) + 24) * 4, kBiasBytes = 4 * 4;
constexpr int64_t kEveryPass =
    2 * (2 * kAttention + kDenseMlp + kExpert + kRouter) + kNormBytes + kBiasBytes;
constexpr int64_t kRowMacs = 2 * kAttention + kDenseMlp + kRouter + 3 * kExpert;
constexpr int64_t kCacheRow = 2 * (16 + 4) * 2;  // both layers

TEST(StepCost, DecodeByHand) {
  const Model model(testing_support::kTinyConfig);
  StepCost cost(model.config, model.weights, kv_layout(model.config, KvDtype::kBf16));
  const std::vector<int32_t> tokens = {1, 2};
  const BatchSequence sequences[] = {
      {.tokens = {&tokens[0], 1}, .first_position = 5, .absorbed = true, .kv = nullptr},
      {.tokens = {&tokens[1], 1}, .first_position = 5, .absorbed = true, .kv = nullptr}};
  cost.add_pass({.sequences = sequences}, 2);
  EXPECT_EQ(cost.bytes(), kEveryPass + 2 * 6 * kCacheRow + 2 * 24 * 2 + kHead * 2);
  // A query meets six rows; 16 + 4 multiplications for the score and 16 for the sum, 2 heads, 2
  // layers.
  EXPECT_EQ(cost.ops(), 2 * 2 * (kRowMacs + 6 * (16 + 4 + 16) * 2 * 2 + kHead));
  // Experts 0, 2 and 3: the one that both tokens took is read once.
  const int32_t indices[] = {0, 2, 2, 3};
  const int64_t before = cost.bytes();
  cost.on_router(1, indices, nullptr, 2);
  EXPECT_EQ(cost.experts(), 3);
  EXPECT_EQ(cost.bytes() - before, 3 * kExpert * 2);
  cost.on_router(2, indices, nullptr, 2);  // the MTP module's are not this pass's
  EXPECT_EQ(cost.experts(), 3);
}

TEST(StepCost, PrefillByHand) {
  const Model model(testing_support::kTinyConfig);
  StepCost cost(model.config, model.weights, kv_layout(model.config, KvDtype::kF32));
  const std::vector<int32_t> tokens = {1, 2, 3};
  const BatchSequence sequence = {
      .tokens = tokens, .first_position = 5, .absorbed = false, .kv = nullptr};
  cost.add_pass({.sequences = {&sequence, 1}}, 1);
  EXPECT_EQ(cost.bytes(), kEveryPass + 8 * 2 * kCacheRow + 3 * 24 * 2 + kHead * 2);
  // 6 + 7 + 8 rows; 12 multiplications for the score and 8 for the sum, 2 heads, 2 layers.
  EXPECT_EQ(cost.ops(), 2 * (3 * kRowMacs + 21 * (12 + 8) * 2 * 2 + kHead));
  // Without logits the head is not read.
  StepCost headless(model.config, model.weights, kv_layout(model.config, KvDtype::kF32));
  headless.add_pass({.sequences = {&sequence, 1}}, 0);
  EXPECT_EQ(cost.bytes() - headless.bytes(), kHead * 2);
  EXPECT_EQ(cost.ops() - headless.ops(), 2 * kHead);
}

// With every expert chosen and no cached row, a pass reads the checkpoint: all but the embedding,
// norms twice as wide.
TEST(StepCost, OfAllExpertsIsTheCheckpoint) {
  const Model model(testing_support::kTinyFp8Config);
  int64_t expected = 136 * 2;  // a row of the embedding
  for (const CheckpointTensor& entry : model.weights.checkpoint->tensors()) {
    if (entry.name == "model.embed_tokens.weight") continue;
    expected += entry.tensor.bytes() * (entry.name.ends_with("norm.weight") ? 2 : 1);
  }
  const KvLayout layout = kv_layout(model.config, KvDtype::kBf16);
  expected += layout.row_bytes() * 2;  // the token's own row, in two layers
  StepCost cost(model.config, model.weights, layout);
  const int32_t token = 0;
  const BatchSequence sequence = {
      .tokens = {&token, 1}, .first_position = 0, .absorbed = true, .kv = nullptr};
  cost.add_pass({.sequences = {&sequence, 1}}, 1);
  const int32_t indices[] = {0, 1, 2, 3};
  cost.on_router(1, indices, nullptr, 2);
  EXPECT_EQ(cost.bytes(), expected);
}

}  // namespace
}  // namespace fathom
