// Goal: losses and gradients of the trained model are those of an independent program in double.
// Method: stored references, on every instruction set; in F32 to the tolerance of their README, in
// BF16 and FP8 to what the rounding of operands allows.
#include <gtest/gtest.h>

#include "model/open_model.h"
#include "model/trainable_model.h"
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

// BF16 rounds each operand by 2^-9 at most, E4M3 by 2^-4, tens of products in a row.
constexpr Tolerance kBf16 = {3e-3, 0.2};
constexpr Tolerance kFp8 = {2e-2, 0.5};
TEST(Gradients, InBf16) { compare("grads-v3", TrainingPrecision::kBf16, kBf16); }
TEST(Gradients, InBf16WithMtp) { compare("grads-mtp", TrainingPrecision::kBf16, kBf16); }
TEST(Gradients, InFp8) { compare("grads-v3", TrainingPrecision::kFp8, kFp8); }
TEST(Gradients, InFp8WithMtp) { compare("grads-mtp", TrainingPrecision::kFp8, kFp8); }

}  // namespace
}  // namespace fathom
