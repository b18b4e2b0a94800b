#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/math.h"
#include "kernels/math.h"

namespace fathom {

std::vector<double> rope_inv_freq(const ModelConfig& config) {
  const int64_t dim = config.qk_rope_head_dim;
  std::vector<double> inv_freq(static_cast<size_t>(dim / 2));
  for (int64_t j = 0; j < dim / 2; ++j) {
    inv_freq[j] =
        pow_f64(config.rope_theta, -2.0 * static_cast<double>(j) / static_cast<double>(dim));
  }
  if (!config.rope_scaling) return inv_freq;

  // YaRN: high frequencies stay, low ones are divided by the factor, a ramp between the two
  // corrections.
  const RopeScaling& yarn = *config.rope_scaling;
  const auto correction = [&](double rotations) {
    return static_cast<double>(dim) *
           log_f64(static_cast<double>(yarn.original_max_position_embeddings) /
                   (rotations * 2.0 * std::numbers::pi)) /
           (2.0 * log_f64(config.rope_theta));
  };
  const double low = std::max(std::floor(correction(yarn.beta_fast)), 0.0);
  double high = std::min(std::ceil(correction(yarn.beta_slow)), static_cast<double>(dim - 1));
  if (low == high) high += 0.001;
  for (int64_t j = 0; j < dim / 2; ++j) {
    const double ramp = std::clamp((static_cast<double>(j) - low) / (high - low), 0.0, 1.0);
    inv_freq[j] = inv_freq[j] / yarn.factor * ramp + inv_freq[j] * (1.0 - ramp);
  }
  return inv_freq;
}

double yarn_mscale(double scale, double a) {
  return scale > 1.0 ? 0.1 * a * log_f64(scale) + 1.0 : 1.0;
}

float softmax_scale(const ModelConfig& config) {
  double scale = 1.0 / std::sqrt(static_cast<double>(config.qk_head_dim()));
  if (config.rope_scaling) {
    const double m = yarn_mscale(config.rope_scaling->factor, config.rope_scaling->mscale_all_dim);
    scale *= m * m;
  }
  return static_cast<float>(scale);
}

RopeTable::RopeTable(const ModelConfig& config, int64_t n_positions)
    : half_(config.qk_rope_head_dim / 2),
      inv_freq_(rope_inv_freq(config)),
      cos_(n_positions * half_),
      sin_(n_positions * half_) {
  if (config.rope_scaling) {
    const RopeScaling& yarn = *config.rope_scaling;
    magnitude_ =
        yarn_mscale(yarn.factor, yarn.mscale) / yarn_mscale(yarn.factor, yarn.mscale_all_dim);
  }
}

void RopeTable::reach(int64_t end) {
  if (end <= computed_) return;
  constexpr int64_t kStep = 1024;  // at once: a millisecond
  end = std::min(round_up(end, kStep), n_positions());
  for (int64_t position = computed_; position < end; ++position) {
    for (int64_t j = 0; j < half_; ++j) {
      // The angle is a product of floats, as every implementation has it (spec §2.4).
      const float angle = static_cast<float>(position) * static_cast<float>(inv_freq_[j]);
      double sin = 0, cos = 0;
      sin_cos_f64(angle, &sin, &cos);
      cos_[position * half_ + j] = static_cast<float>(cos * magnitude_);
      sin_[position * half_ + j] = static_cast<float>(sin * magnitude_);
    }
  }
  computed_ = end;
}

}  // namespace fathom
