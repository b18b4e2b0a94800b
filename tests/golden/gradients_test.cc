// Goal: losses and gradients of the trained model are those of an independent program in double.
// Method: stored references, on every instruction set; in F32 to the tolerance of their README, in
// BF16 and FP8 to what the rounding of operands allows.
#include <gtest/gtest.h>

#include "model/open_model.h"
#include "model/trainable_model.h"
#include "tests/support/tiny_model.h"
#include "tests/support/training_reference.h"

namespace fathom {
namespace {

using testing_support::TrainingReference;

struct Tolerance {
  double loss, gradient;
};

void compare(const std::string& name, TrainingPrecision precision, const Tolerance& tolerance) {
  const std::string folder = testing_support::training_folder(name);
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is not there";
  const TrainingReference reference(name);
  const auto opened = open_model(folder);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  for (const Isa isa : available_isas()) {
    SCOPED_TRACE(isa_name(isa));
    std::vector<float> before;
    for (const int n_threads : {1, 2}) {
      Pool pool(n_threads);
      TrainableOptions options;
      options.precision = precision;
      options.max_sequences = reference.n_sequences;
      options.sequence_length = reference.length();
      options.checkpoint = opened->checkpoint;
      const auto made = TrainableModel::create(reference.config, options, {isa, &pool});
      ASSERT_TRUE(made.ok()) << made.error().message;
      TrainableModel& model = **made;
      const LossSums sums = model.forward_backward(reference.tokens, reference.mask,
                                                   reference.n_sequences, reference.weights);
      reference.expect_losses(sums, tolerance.loss);
      if (precision == TrainingPrecision::kFp32) {
        reference.expect_gradients(model.tensors(), model.gradients(), tolerance.gradient);
      } else {
        reference.expect_gradient(model.tensors(), model.gradients(), tolerance.gradient);
      }
      std::vector<float> gradients(model.gradients().begin(), model.gradients().end());
      if (n_threads == 2) {
        EXPECT_EQ(gradients, before) << "threads";
      }
      before = std::move(gradients);
    }
  }
}

constexpr Tolerance kF32 = {1e-6, 1e-4};
TEST(Gradients, Plain) { compare("grads-plain", TrainingPrecision::kFp32, kF32); }
TEST(Gradients, GroupsAndYarn) { compare("grads-v3", TrainingPrecision::kFp32, kF32); }
TEST(Gradients, Mtp) { compare("grads-mtp", TrainingPrecision::kFp32, kF32); }
TEST(Gradients, Balance) { compare("grads-balance", TrainingPrecision::kFp32, kF32); }

// BF16 rounds each operand by 2^-9 at most, E4M3 by 2^-4, tens of products in a row; and what is
// stored in E4M3 sends some of the 96 tokens to other experts than the reference's weights do.
constexpr Tolerance kBf16 = {3e-3, 0.2};
constexpr Tolerance kFp8 = {2e-2, 0.7};
TEST(Gradients, InBf16) { compare("grads-v3", TrainingPrecision::kBf16, kBf16); }
TEST(Gradients, InBf16WithMtp) { compare("grads-mtp", TrainingPrecision::kBf16, kBf16); }
TEST(Gradients, InFp8) { compare("grads-v3", TrainingPrecision::kFp8, kFp8); }
TEST(Gradients, InFp8WithMtp) { compare("grads-mtp", TrainingPrecision::kFp8, kFp8); }

// Of one set of stored weights, dense layers only, so that no token changes its expert: what FP8
// products alone do to the gradient. E4M3 rounds by 2^-5 in the mean, some layers in a row. A mean
// over a billion targets has gradients of 1e-9, far below the least scale of a tile.
TEST(Gradients, Fp8ProductsComeNearF32OnesOfTheSameWeights) {
  std::string text(testing_support::kTinyFp8Config);
  text.replace(text.find("\"first_k_dense_replace\":1"), 25, "\"first_k_dense_replace\":2");
  const ModelConfig config = parse_model_config(text, "dense").value();
  Pool pool(2);
  for (const Isa isa : available_isas()) {
    SCOPED_TRACE(isa_name(isa));
    const Compute compute = {isa, &pool};
    TrainableOptions options;
    options.max_sequences = 4;
    options.sequence_length = 50;
    options.init_std = 0.1;
    options.precision = TrainingPrecision::kFp8;
    const auto fp8 = TrainableModel::create(config, options, compute).value();
    // The F32 model starts from what FP8 stores; fp8 outlives it.
    options.checkpoint = std::shared_ptr<const Checkpoint>(&fp8->checkpoint(), [](const auto*) {});
    options.precision = TrainingPrecision::kFp32;
    const auto f32 = TrainableModel::create(config, options, compute).value();
    std::vector<int32_t> tokens;
    for (int32_t i = 0; i < 4 * 51; ++i) tokens.push_back((i * i * 7 + i * 3) % 32);
    const std::vector<uint8_t> mask(4 * 50, 1);
    for (const int64_t n_targets : {200, 1 << 30}) {
      SCOPED_TRACE(n_targets);
      LossWeights weights;
      weights.main_scale = 1.0 / static_cast<double>(n_targets);
      weights.gradient_scale = gradient_scale_of(n_targets);
      std::vector<double> losses;
      for (TrainableModel* model : {fp8.get(), f32.get()}) {
        std::ranges::fill(model->gradients(), 0.0f);
        losses.push_back(model->forward_backward(tokens, mask, 4, weights).main);
      }
      EXPECT_NEAR(losses[0], losses[1], 5e-3 * losses[1]);
      double error = 0, norm = 0;
      for (size_t i = 0; i < f32->gradients().size(); ++i) {
        const double want = f32->gradients()[i];
        error += std::pow(static_cast<double>(fp8->gradients()[i]) - want, 2);
        norm += want * want;
      }
      EXPECT_LE(std::sqrt(error), 0.1 * std::sqrt(norm));
      EXPECT_GT(std::sqrt(error), 1e-3 * std::sqrt(norm)) << "nothing was rounded";
    }
  }
}

// A model that knows nothing is wrong by ln(32 words) wherever it predicts, in every module:
// position i of module k, of t inputs, predicts input i + k + 1, so that t - k predictions count.
TEST(Gradients, EachMtpModuleIsAMeanOverItsOwnTargets) {
  std::string text(testing_support::kTinyFp8Config);
  const size_t at = text.find("\"num_nextn_predict_layers\":");
  ASSERT_NE(at, std::string::npos);
  text[text.find(':', at) + 1] = '3';
  const ModelConfig config = parse_model_config(text, "deep").value();
  ASSERT_EQ(config.num_nextn_predict_layers, 3);
  Pool pool(2);
  TrainableOptions options;
  options.max_sequences = 2;
  options.sequence_length = 5;
  options.init_std = 1e-4;
  options.precision = TrainingPrecision::kBf16;
  const auto model = TrainableModel::create(config, options, {available_isas()[0], &pool}).value();
  const std::vector<int32_t> tokens = {1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16};
  const std::vector<uint8_t> mask(10, 1);
  LossWeights weights;
  weights.main_scale = 1.0 / 10;
  weights.mtp_scales = {1.0 / 8, 1.0 / 6, 1.0 / 4};
  weights.mtp_lambda = 0.3;
  const LossSums sums = model->forward_backward(tokens, mask, 2, weights);
  const double ln_v = std::log(static_cast<double>(config.vocab_size));
  EXPECT_NEAR(sums.main, ln_v, 1e-2);
  EXPECT_NEAR(sums.mtp, ln_v, 1e-2);
}

}  // namespace
}  // namespace fathom
