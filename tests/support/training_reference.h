// Losses and gradients of an independent program in double, where they stand beside the clone.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "io/files.h"
#include "io/json.h"
#include "io/mapped_file.h"
#include "io/safetensors.h"
#include "model/config.h"
#include "model/training.h"

namespace fathom::testing_support {

inline double element(const Tensor& tensor, int64_t i) {
  return tensor.dtype == Dtype::kF64
             ? static_cast<const double*>(tensor.data)[i]
             : static_cast<double>(static_cast<const float*>(tensor.data)[i]);
}

inline std::string training_folder(const std::string& name) {
  return std::string(FATHOM_SHARED) + "/reference/training/" + name;
}

// One micro-batch with what its losses and gradients are.
struct TrainingReference {
  explicit TrainingReference(const std::string& name)
      : folder(training_folder(name)),
        config(parse_model_config(read_file(folder + "/config.json").value(), name).value()),
        map(MappedFile::open(folder + "/reference.safetensors").value()),
        file(parse_safetensors(map.bytes(), name).value()) {
    const Tensor& stored = *find("tokens");
    n_sequences = stored.shape[0];
    const int64_t t = stored.shape[1] - 1;
    const auto* ids = static_cast<const int64_t*>(stored.data);
    tokens.assign(ids, ids + n_sequences * (t + 1));
    mask.assign(static_cast<size_t>(n_sequences * t), 1);
    const Json factors = parse_json(read_file(folder + "/reference.json").value()).value();
    const auto factor = [&factors](const char* key) {
      const Json* json = factors.find(key);
      return json != nullptr && json->is_number() ? json->as_double() : 0.0;
    };
    weights.main_scale = 1.0 / static_cast<double>(n_sequences * t);
    weights.mtp_scales = {1.0 / static_cast<double>(n_sequences * (t - 1))};
    weights.mtp_lambda = factor("mtp_lambda");
    weights.balance_alpha = factor("balance_alpha");
    weights.balance_scale = 1.0 / static_cast<double>(n_sequences);
  }

  const Tensor* find(const std::string& name) const { return file.find(name); }
  int64_t length() const { return std::ssize(mask) / n_sequences; }

  void expect_losses(const LossSums& sums, double relative) const {
    const double main = element(*find("loss_main"), 0);
    EXPECT_NEAR(sums.main, main, relative * main);
    if (weights.mtp_lambda > 0) {
      const double mtp = element(*find("loss_mtp"), 0);
      EXPECT_NEAR(sums.mtp, mtp, relative * mtp);
    }
    const double loss = element(*find("loss"), 0);
    EXPECT_NEAR(sums.main + weights.mtp_lambda * sums.mtp + sums.balance, loss, relative * loss);
  }

  // The error's norm against the gradient's own, tensor by tensor.
  void expect_gradients(const std::vector<TrainedTensor>& tensors, std::span<const float> gradients,
                        double relative) const {
    for (const TrainedTensor& tensor : tensors) {
      const auto [error, norm] = compare(tensor, gradients);
      EXPECT_LE(std::sqrt(error), relative * std::sqrt(norm)) << tensor.name;
    }
  }
  // The same of all tensors together: where rounding sends a token to another expert, some tensors
  // differ by a whole token's part.
  void expect_gradient(const std::vector<TrainedTensor>& tensors, std::span<const float> gradients,
                       double relative) const {
    double errors = 0, norms = 0;
    for (const TrainedTensor& tensor : tensors) {
      const auto [error, norm] = compare(tensor, gradients);
      errors += error;
      norms += norm;
    }
    EXPECT_LE(std::sqrt(errors), relative * std::sqrt(norms));
  }

  std::string folder;
  ModelConfig config;
  MappedFile map;
  SafetensorsFile file;
  int64_t n_sequences = 0;
  std::vector<int32_t> tokens;
  std::vector<uint8_t> mask;
  LossWeights weights;

 private:
  // Squares of the error and of what is wanted.
  std::pair<double, double> compare(const TrainedTensor& tensor,
                                    std::span<const float> gradients) const {
    const Tensor* want = find("grad." + tensor.name);
    if (want == nullptr) {
      ADD_FAILURE() << "no gradient of " << tensor.name;
      return {0, 0};
    }
    double error = 0, norm = 0;
    for (int64_t i = 0; i < tensor.size; ++i) {
      const double got = gradients[static_cast<size_t>(tensor.offset + i)];
      error += std::pow(got - element(*want, i), 2);
      norm += std::pow(element(*want, i), 2);
    }
    return {error, norm};
  }
};

}  // namespace fathom::testing_support
