// The formulas of adamw.h as they are written.
#include <cmath>

#include "kernels/optimizer_table.h"
#include "tensor/numeric.h"

namespace fathom::ref {
namespace {

void adamw_one(const AdamWFactors& f, float gradient, float& value, float& m, float& v) {
  const float g = gradient * f.gradient_scale;
  m = std::fma(f.beta1, m, f.rest1 * g);
  v = std::fma(f.beta2, v, f.rest2 * (g * g));
  const float root = std::sqrt(v * f.inv_correction2) + f.eps;
  value = value * f.keep - f.step_size * (m / root);
}

void adamw_f32(const AdamWFactors& f, const float* gradient, float* value, float* m, float* v,
               int64_t n) {
  for (int64_t i = 0; i < n; ++i) adamw_one(f, gradient[i], value[i], m[i], v[i]);
}

void adamw_bf16(const AdamWFactors& f, const float* gradient, float* value, uint16_t* m,
                uint16_t* v, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    float wide_m = bf16_to_f32(m[i]);
    float wide_v = bf16_to_f32(v[i]);
    adamw_one(f, gradient[i], value[i], wide_m, wide_v);
    m[i] = f32_to_bf16(wide_m);
    v[i] = f32_to_bf16(wide_v);
  }
}

double sum_squares(const float* x, int64_t n) {
  double sum = 0.0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(x[i] * x[i]);
  return sum;
}

}  // namespace

const OptimizerTable kOptimizer = {adamw_f32, adamw_bf16, sum_squares};

}  // namespace fathom::ref
