#include "train/optimizer.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "kernels/elementwise.h"

namespace fathom {

Optimizer::Optimizer(const OptimizerConfig& config, int64_t n_values) : config_(config) {
  for (int which : {0, 1}) {
    if (config.bf16_moments) {
      narrow_[which] = Buffer<uint16_t>(n_values);
    } else {
      wide_[which] = Buffer<float>(n_values);
    }
  }
}

double Optimizer::gradient_norm(const Compute& compute, Trainee& model) {
  double sum = 0;
  const float* gradients = model.gradients().data();
  for (const TrainedTensor& tensor : model.tensors())
    sum += sum_of_squares(compute, gradients + tensor.offset, tensor.size);
  return std::sqrt(sum);
}

void Optimizer::step(const Compute& compute, Trainee& model, const Step& step) {
  AdamWOptions options = {.learning_rate = step.learning_rate,
                          .beta1 = config_.beta1,
                          .beta2 = config_.beta2,
                          .eps = config_.eps,
                          .weight_decay = 0,
                          .gradient_scale = 1 / step.gradient_scale,
                          .step = step.step};
  if (config_.clip > 0 && step.norm > config_.clip)
    options.gradient_scale *= config_.clip / step.norm;
  for (const TrainedTensor& tensor : model.tensors()) {
    options.weight_decay = tensor.decay ? config_.weight_decay : 0;
    const float* gradient = model.gradients().data() + tensor.offset;
    float* value = model.values().data() + tensor.offset;
    if (config_.bf16_moments) {
      adamw(compute, options, gradient, value, narrow_[0].data() + tensor.offset,
            narrow_[1].data() + tensor.offset, tensor.size);
    } else {
      adamw(compute, options, gradient, value, wide_[0].data() + tensor.offset,
            wide_[1].data() + tensor.offset, tensor.size);
    }
  }
}

std::span<std::byte> Optimizer::moment(int which, int64_t offset, int64_t size) {
  const auto begin = static_cast<size_t>(offset), n = static_cast<size_t>(size);
  if (config_.bf16_moments) return std::as_writable_bytes(narrow_[which].span().subspan(begin, n));
  return std::as_writable_bytes(wide_[which].span().subspan(begin, n));
}

void GradientTree::clear(const Compute& compute, std::span<float> gradients) {
  copy_or_clear(compute, gradients.data(), nullptr, static_cast<int64_t>(gradients.size()));
}

void GradientTree::push(const Compute& compute, std::span<float> gradients) {
  const auto n = static_cast<int64_t>(gradients.size());
  size_t level = 0;
  for (; (n_ >> level & 1u) != 0; ++level)
    add_in_place(compute, gradients.data(), levels_[level].data(), n);
  if (level == levels_.size()) levels_.emplace_back(n);
  copy_or_clear(compute, levels_[level].data(), gradients.data(), n);
  ++n_;
}

void GradientTree::finish(const Compute& compute, std::span<float> gradients) {
  const auto n = static_cast<int64_t>(gradients.size());
  for (size_t level = 0; level < levels_.size(); ++level) {
    if ((n_ >> level & 1u) != 0) add_in_place(compute, gradients.data(), levels_[level].data(), n);
  }
  n_ = 0;
}

void update_router_bias(std::span<float> bias, std::span<const int64_t> loads, double speed) {
  FATHOM_CHECK(bias.size() == loads.size(), "bias ", bias.size(), ", loads ", loads.size());
  const int64_t sum = std::accumulate(loads.begin(), loads.end(), int64_t{0});
  const auto step = static_cast<float>(speed);
  for (size_t i = 0; i < bias.size(); ++i) {
    // mean - load, times the number of experts: exact.
    const int64_t below = sum - loads[i] * static_cast<int64_t>(loads.size());
    if (below > 0) bias[i] += step;
    if (below < 0) bias[i] -= step;
  }
}

double max_violation(std::span<const int64_t> loads) {
  const int64_t sum = std::accumulate(loads.begin(), loads.end(), int64_t{0});
  if (sum == 0) return 0;
  const int64_t max = *std::max_element(loads.begin(), loads.end());
  return static_cast<double>(max) * static_cast<double>(loads.size()) / static_cast<double>(sum) -
         1.0;
}

}  // namespace fathom
