// Goal: the model in double that training is held against is itself right. Method: losses and all
// gradients of an independent program in double, where they stand beside the clone.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "io/files.h"
#include "io/json.h"
#include "io/mapped_file.h"
#include "io/safetensors.h"
#include "tests/support/naive/model.h"

namespace fathom {
namespace {

const Tensor* find(const SafetensorsFile& file, const std::string& name) {
  for (const NamedTensor& entry : file.tensors) {
    if (entry.name == name) return &entry.tensor;
  }
  return nullptr;
}

double value_at(const Tensor& tensor, int64_t i) {
  return tensor.dtype == Dtype::kF64
             ? static_cast<const double*>(tensor.data)[i]
             : static_cast<double>(static_cast<const float*>(tensor.data)[i]);
}

void expect_gradient(naive::Model& model, const TrainedTensor& tensor, const Tensor& want) {
  double error = 0, norm = 0;
  for (int64_t i = 0; i < tensor.size; ++i) {
    const double got = model.gradients()[static_cast<size_t>(tensor.offset + i)];
    error += std::pow(got - value_at(want, i), 2);
    norm += std::pow(value_at(want, i), 2);
  }
  // The gradients were rounded to F32 once for each of three sequences.
  EXPECT_LE(std::sqrt(error), 3 * 0x1p-24 * std::sqrt(norm)) << tensor.name;
}

void compare(const std::string& name) {
  const std::string folder = std::string(FATHOM_SHARED) + "/reference/training/" + name;
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is not there";
  const auto config = parse_model_config(read_file(folder + "/config.json").value(), name);
  ASSERT_TRUE(config.ok()) << config.error().message;
  const Json factors = parse_json(read_file(folder + "/reference.json").value()).value();
  const MappedFile mapped = MappedFile::open(folder + "/reference.safetensors").value();
  const SafetensorsFile file = parse_safetensors(mapped.bytes(), name).value();
  naive::Model model(*config);
  ASSERT_TRUE(model.load(folder + "/model.safetensors").ok());

  const Tensor& stored = *find(file, "tokens");
  const int64_t n = stored.shape[0], t = stored.shape[1] - 1;
  const auto* ids = static_cast<const int64_t*>(stored.data);
  const std::vector<int32_t> tokens(ids, ids + n * (t + 1));
  const std::vector<uint8_t> mask(static_cast<size_t>(n * t), 1);
  const auto factor = [&factors](const char* key) {
    const Json* json = factors.find(key);
    return json != nullptr && json->is_number() ? json->as_double() : 0.0;
  };
  LossWeights weights;
  weights.main_scale = 1.0 / static_cast<double>(n * t);
  weights.mtp_scale = 1.0 / static_cast<double>(n * (t - 1));
  weights.mtp_lambda = factor("mtp_lambda");
  weights.balance_alpha = factor("balance_alpha");
  weights.balance_scale = 1.0 / static_cast<double>(n);
  const LossSums sums = model.forward_backward(tokens, mask, n, weights).value();

  const double main = value_at(*find(file, "loss_main"), 0);
  EXPECT_NEAR(sums.main * weights.main_scale, main, 1e-7 * main);
  if (weights.mtp_lambda > 0) {
    const double mtp = value_at(*find(file, "loss_mtp"), 0);
    EXPECT_NEAR(sums.mtp * weights.mtp_scale, mtp, 1e-7 * mtp);
  }
  const double loss = value_at(*find(file, "loss"), 0);
  EXPECT_NEAR(sums.main * weights.main_scale + weights.mtp_lambda * sums.mtp * weights.mtp_scale +
                  sums.balance,
              loss, 1e-7 * loss);
  for (const TrainedTensor& tensor : model.tensors()) {
    const Tensor* want = find(file, "grad." + tensor.name);
    ASSERT_NE(want, nullptr) << tensor.name;
    expect_gradient(model, tensor, *want);
  }
}

TEST(NaiveGradients, Plain) { compare("grads-plain"); }
TEST(NaiveGradients, GroupsAndYarn) { compare("grads-v3"); }
TEST(NaiveGradients, Mtp) { compare("grads-mtp"); }
TEST(NaiveGradients, Balance) { compare("grads-balance"); }

}  // namespace
}  // namespace fathom
