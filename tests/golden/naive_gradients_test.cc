// Goal: the model in double that training is held against is itself right. Method: losses and all
// gradients of an independent program in double, where they stand beside the clone.
#include <gtest/gtest.h>

#include "tests/support/naive/model.h"
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

TEST(NaiveGradients, Plain) { compare("grads-plain"); }
TEST(NaiveGradients, GroupsAndYarn) { compare("grads-v3"); }
TEST(NaiveGradients, Mtp) { compare("grads-mtp"); }
TEST(NaiveGradients, Balance) { compare("grads-balance"); }

}  // namespace
}  // namespace fathom
