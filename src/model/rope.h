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

// cos and sin of the positions of a context, computed in double and rounded once to F32; both
// multiplied by m(factor, mscale) / m(factor, mscale_all_dim), which is 1 for the published models.
// Computed as far as a sequence has come: the 160K positions of V3 would take a tenth of a second
// of every start.
class RopeTable {
 public:
  RopeTable() = default;
  RopeTable(const ModelConfig& config, int64_t n_positions);  // nothing computed yet
  // Computes what is missing of positions [0, end), end <= n_positions().
  void reach(int64_t end);
  const float* cos(int64_t position) const { return &cos_[position * half_]; }
  const float* sin(int64_t position) const { return &sin_[position * half_]; }
  int64_t n_positions() const { return half_ == 0 ? 0 : cos_.size() / half_; }

 private:
  int64_t half_ = 0;
  int64_t computed_ = 0;  // positions
  std::vector<double> inv_freq_;
  double magnitude_ = 1.0;
  Buffer<float> cos_, sin_;
};

}  // namespace fathom
