// Goal: the model in double that training is held against is itself right. Method: losses and all
// gradients of an independent program in double, where they stand beside the clone; derivatives of
// the loss along random directions of every tensor.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/naive/model.h"
#include "tests/support/tiny_model.h"
#include "tests/support/training_reference.h"

namespace fathom {
namespace {

void compare(const std::string& name) {
  const std::string folder = testing_support::training_folder(name);
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is not there";
  const testing_support::TrainingReference reference(name);
  naive::Model model(reference.config);
  ASSERT_TRUE(model.load(folder + "/model.safetensors").ok());
  const LossSums sums = model
                            .forward_backward(reference.tokens, reference.mask,
                                              reference.n_sequences, reference.weights)
                            .value();
  reference.expect_losses(sums, 1e-7);
  // The gradients were rounded to F32 once for each of three sequences.
  reference.expect_gradients(model.tensors(), model.gradients(), 3 * 0x1p-24);
}

// A direction of one tensor: +-1 for each parameter, so that a single wrong gradient shows. Steps
// are powers of two that F32 masters, multiples of 2^-20, take exactly.
TEST(NaiveGradients, AreDerivativesAlongEveryTensor) {
  const ModelConfig config = parse_model_config(testing_support::kTinyConfig, "tiny").value();
  naive::Model model(config);
  testing_support::TinyRandom random(5);
  for (const TrainedTensor& tensor : model.tensors()) {
    for (int64_t i = 0; i < tensor.size; ++i) {
      const float value = tensor.decay ? 0.4f * random.uniform() : 1 + 0.2f * random.uniform();
      model.values()[static_cast<size_t>(tensor.offset + i)] =
          std::nearbyint(value * 0x1p20f) * 0x1p-20f;
    }
  }
  constexpr int64_t kSequences = 2, kLength = 9;
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < kSequences * (kLength + 1); ++i) tokens.push_back((i * i * 7 + i) % 32);
  const std::vector<uint8_t> mask(kSequences * kLength, 1);
  LossWeights weights;
  weights.main_scale = 1.0 / (kSequences * kLength);
  weights.mtp_scales = {1.0 / (kSequences * (kLength - 1))};
  weights.mtp_lambda = 0.3;
  weights.balance_alpha = 0.1;
  weights.balance_scale = 1.0 / kSequences;
  const auto loss = [&] {
    const LossSums sums = model.forward_backward(tokens, mask, kSequences, weights).value();
    return sums.main + weights.mtp_lambda * sums.mtp + sums.balance;
  };
  loss();
  const std::vector<float> gradients(model.gradients().begin(), model.gradients().end());
  for (const TrainedTensor& tensor : model.tensors()) {
    const auto begin = static_cast<size_t>(tensor.offset);
    std::vector<float> direction(static_cast<size_t>(tensor.size));
    double want = 0, norm = 0;
    for (size_t i = 0; i < direction.size(); ++i) {
      direction[i] = random.uniform() < 0 ? -0x1p-15f : 0x1p-15f;
      want += static_cast<double>(gradients[begin + i]) * static_cast<double>(direction[i]);
      norm += std::pow(static_cast<double>(gradients[begin + i]), 2);
    }
    const auto move = [&](float factor) {
      for (size_t i = 0; i < direction.size(); ++i)
        model.values()[begin + i] += factor * direction[i];
    };
    move(1);
    const double high = loss();
    move(-2);
    const double low = loss();
    move(1);
    EXPECT_NEAR((high - low) / 2, want, 1e-5 * std::sqrt(norm) * 0x1p-15) << tensor.name;
  }
}

TEST(NaiveGradients, Plain) { compare("grads-plain"); }
TEST(NaiveGradients, GroupsAndYarn) { compare("grads-v3"); }
TEST(NaiveGradients, Mtp) { compare("grads-mtp"); }
TEST(NaiveGradients, Balance) { compare("grads-balance"); }

}  // namespace
}  // namespace fathom
