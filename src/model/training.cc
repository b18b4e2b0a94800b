#include "model/training.h"

#include <bit>

#include "base/check.h"

namespace fathom {

TrainingPrecision training_precision(std::string_view name) {
  if (name == "fp32") return TrainingPrecision::kFp32;
  if (name == "bf16") return TrainingPrecision::kBf16;
  FATHOM_CHECK(name == "fp8", "precision ", name);
  return TrainingPrecision::kFp8;
}

double gradient_scale_of(int64_t n_targets) {
  const auto n = static_cast<uint64_t>(n_targets < 1 ? 1 : n_targets);
  return static_cast<double>(std::bit_ceil(n)) * 1024;
}

void LossSums::add(const LossSums& other) {
  main += other.main;
  mtp += other.mtp;
  balance += other.balance;
  if (loads.empty()) {
    loads = other.loads;
    return;
  }
  FATHOM_CHECK(loads.size() == other.loads.size(), "layers of two micro-batches");
  for (size_t layer = 0; layer < loads.size(); ++layer) {
    for (size_t i = 0; i < loads[layer].size(); ++i) loads[layer][i] += other.loads[layer][i];
  }
}

}  // namespace fathom
