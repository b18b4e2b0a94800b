// Goal: random weights are a checkpoint like a published one: the loader takes them, values are
// sane, bytes do not depend on threads, and a folder written from them holds the same bytes.
#include "model/random_weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "io/checkpoint_save.h"
#include "model/tensor_values.h"
#include "model/weights.h"
#include "tests/support/tiny_model.h"

namespace fathom {
namespace {

using testing_support::kTinyConfig;
using testing_support::kTinyFp8Config;
using testing_support::TempFolder;

ModelConfig tiny(std::string_view text) { return *parse_model_config(text, "tiny"); }

Checkpoint make(const ModelConfig& config, int n_threads = 1, uint64_t seed = 1) {
  Pool pool(n_threads);
  auto checkpoint =
      random_checkpoint(config, "random weights", {.seed = seed, .progress = {}}, pool);
  EXPECT_TRUE(checkpoint.ok());
  return std::move(checkpoint).value();
}

bool same_bytes(const Checkpoint& a, const Checkpoint& b) {
  if (a.tensors().size() != b.tensors().size()) return false;
  for (const CheckpointTensor& entry : a.tensors()) {
    const Tensor* other = b.find(entry.name);
    if (other == nullptr || other->dtype != entry.tensor.dtype ||
        other->shape != entry.tensor.shape)
      return false;
    if (std::memcmp(other->data, entry.tensor.data, static_cast<size_t>(entry.tensor.bytes())) != 0)
      return false;
  }
  return true;
}

TEST(RandomWeights, TheLoaderTakesThem) {
  for (const std::string_view text : {kTinyConfig, kTinyFp8Config}) {
    const ModelConfig config = tiny(text);
    const auto weights = load_weights(config, std::make_shared<const Checkpoint>(make(config)),
                                      {.verify_weights = true});
    ASSERT_TRUE(weights.ok()) << weights.error().message;
    EXPECT_EQ(static_cast<int64_t>(weights->mtp.size()), config.num_nextn_predict_layers);
    EXPECT_EQ(weights->layers[1].moe.experts[0].up_proj.dtype,
              config.quantization_config ? Dtype::kF8E4M3 : Dtype::kBF16);
  }
}

// Of a matrix with k columns: mean 0 and deviation 1/sqrt(k). 256 rows and more give some 30,000
// samples, so that both are within five standard errors of 0.6 %; block scales add their own spread
// of about 1 %.
TEST(RandomWeights, MatricesKeepTheSizeOfWhatTheyAreGiven) {
  ModelConfig config = tiny(kTinyFp8Config);
  config.vocab_size = 1000;
  const Checkpoint checkpoint = make(config);
  const auto weights = load_weights(config, std::make_shared<const Checkpoint>(checkpoint));
  ASSERT_TRUE(weights.ok());
  const auto deviation = [](const LinearWeight& w) {
    double sum = 0, squares = 0;
    for (int64_t row = 0; row < w.n; ++row) {
      for (int64_t col = 0; col < w.k; ++col) {
        const double value = weight_at(w, row, col);
        sum += value;
        squares += value * value;
      }
    }
    const double n = static_cast<double>(w.n * w.k);
    EXPECT_NEAR(sum / n, 0, 5 * std::sqrt(squares / n / n));
    return std::sqrt(squares / n);
  };
  EXPECT_NEAR(deviation(weights->lm_head) * std::sqrt(136.0), 1, 0.05);
  EXPECT_NEAR(deviation(weights->embed_tokens), 1, 0.05);
  // One or two blocks: their scales are 0.75 to 1.25 of the usual.
  EXPECT_NEAR(deviation(weights->layers[0].mlp.gate_proj) * std::sqrt(136.0), 1, 0.3);
}

TEST(RandomWeights, PackedOnesKeepTheSizeToo) {
  for (const Dtype dtype : {Dtype::kInt8, Dtype::kInt4}) {
    ModelConfig config = tiny(kTinyConfig);
    config.vocab_size = 1000;
    config.packed_formats = packed_formats(dtype, /*mix=*/false);
    config.packed_formats->of(WeightKind::kHead) = dtype;  // the largest matrix here
    const Checkpoint checkpoint = make(config);
    EXPECT_TRUE(same_bytes(checkpoint, make(config, 3)));
    const auto weights = load_weights(config, std::make_shared<const Checkpoint>(checkpoint),
                                      {.verify_weights = true});
    ASSERT_TRUE(weights.ok()) << weights.error().message;
    const LinearWeight& head = weights->lm_head;
    ASSERT_EQ(head.dtype, dtype);
    EXPECT_EQ(weights->layers[0].self_attn.kv_b_proj.dtype, Dtype::kBF16);
    double sum = 0, squares = 0;
    for (int64_t row = 0; row < head.n; ++row) {
      for (int64_t col = 0; col < head.k; ++col) {
        const double value = weight_at(head, row, col);
        sum += value;
        squares += value * value;
      }
    }
    const double n = static_cast<double>(head.n * head.k);
    EXPECT_NEAR(sum / n, 0, 5 * std::sqrt(squares / n / n)) << dtype_name(dtype);
    EXPECT_NEAR(std::sqrt(squares / n * static_cast<double>(head.k)), 1, 0.05);
  }
}

TEST(RandomWeights, BytesFollowFromTheSeedAlone) {
  const ModelConfig config = tiny(kTinyFp8Config);
  const Checkpoint one = make(config);
  EXPECT_TRUE(same_bytes(one, make(config, 3)));
  EXPECT_FALSE(same_bytes(one, make(config, 1, 2)));
}

TEST(RandomWeights, ScalesArePowersOfTwoWhereTheConfigSaysSo) {
  ModelConfig config = tiny(kTinyFp8Config);
  config.quantization_config->ue8m0 = true;
  const Checkpoint checkpoint = make(config);
  for (const CheckpointTensor& entry : checkpoint.tensors()) {
    if (!entry.name.ends_with("_scale_inv")) continue;
    for (int64_t i = 0; i < entry.tensor.elements(); ++i) {
      int exponent = 0;
      EXPECT_EQ(std::frexp(entry.tensor.as<float>()[i], &exponent), 0.5f) << entry.name;
    }
  }
}

TEST(RandomWeights, AFolderOfThemHoldsTheSameBytes) {
  const TempFolder folder;
  for (const std::string_view text : {kTinyConfig, kTinyFp8Config}) {
    const Checkpoint checkpoint = make(tiny(text));
    // Small shards: several files and an index.
    SaveOptions options{.force = true, .shard_bytes_max = 10'000, .progress = {}};
    const Status saved = save_checkpoint(checkpoint, std::string(text), folder.path(), options);
    ASSERT_TRUE(saved.ok()) << saved.error().message;
    const auto files = ModelFiles::open_folder(folder.path());
    const auto read = Checkpoint::open(*files);
    ASSERT_TRUE(read.ok()) << read.error().message;
    EXPECT_GT(read->shards().size(), 2u);
    EXPECT_TRUE(same_bytes(checkpoint, *read));
    EXPECT_EQ(files->open("config.json")->text(), text);
    options.force = false;
    EXPECT_FALSE(save_checkpoint(checkpoint, std::string(text), folder.path(), options).ok());
  }
}

}  // namespace
}  // namespace fathom
