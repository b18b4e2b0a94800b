// Rotary position embedding with YaRN (spec §2.4): the table of angles and the two factors it
// brings.
#pragma once

#include <cstdint>
#include <vector>

#include "model/config.h"
#include "tensor/buffer.h"

namespace fathom {

// The frequencies, [qk_rope_head_dim / 2], with YaRN's ramp where the config has rope_scaling.
std::vector<double> rope_inv_freq(const ModelConfig& config);

// m(s, a) = 0.1 * a * ln(s) + 1 for s > 1, else 1.
double yarn_mscale(double scale, double a);

// qk_head_dim^-1/2, times m(factor, mscale_all_dim)^2 with YaRN.
float softmax_scale(const ModelConfig& config);

// cos and sin of every position of the context, computed once in double and rounded once to F32;
// both multiplied by m(factor, mscale) / m(factor, mscale_all_dim), which is 1 for the published
// models.
class RopeTable {
 public:
  RopeTable() = default;
  RopeTable(const ModelConfig& config, int64_t n_positions);
  const float* cos(int64_t position) const { return &cos_[position * half_]; }
  const float* sin(int64_t position) const { return &sin_[position * half_]; }
  int64_t n_positions() const { return half_ == 0 ? 0 : cos_.size() / half_; }

 private:
  int64_t half_ = 0;
  Buffer<float> cos_, sin_;
};

}  // namespace fathom
