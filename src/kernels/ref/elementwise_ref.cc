// The formulas of elementwise.h as they are written, sums in double.
#include <algorithm>
#include <cmath>

#include "kernels/elementwise_table.h"
#include "kernels/math.h"

namespace fathom::ref {
namespace {

void rms_norm_row(const float* x, const float* weight, float eps, float* y, int64_t n) {
  double sum_sq = 0.0;
  for (int64_t i = 0; i < n; ++i) sum_sq += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  const double inv_rms =
      1.0 / std::sqrt(sum_sq / static_cast<double>(n) + static_cast<double>(eps));
  for (int64_t i = 0; i < n; ++i) {
    y[i] = static_cast<float>(static_cast<double>(x[i]) * inv_rms * static_cast<double>(weight[i]));
  }
}

void add(float* x, const float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] += y[i];
}

void axpy(float weight, const float* x, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = std::fma(weight, x[i], y[i]);
}

void rope(float* x, int64_t dim, const float* cos, const float* sin, bool interleaved) {
  for (int64_t j = 0; j < dim / 2; ++j) {
    float& first = interleaved ? x[2 * j] : x[j];
    float& second = interleaved ? x[2 * j + 1] : x[j + dim / 2];
    const float a = first;
    const float b = second;
    first = a * cos[j] - b * sin[j];
    second = a * sin[j] + b * cos[j];
  }
}

void sigmoid(const float* x, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = sigmoid_f32(x[i]);
}

void silu_mul(const float* gate, const float* up, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = gate[i] * sigmoid_f32(gate[i]) * up[i];
}

double sum_exp(const float* x, int64_t n, float* max) {
  *max = *std::max_element(x, x + n);
  double sum = 0.0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(exp_f32(x[i] - *max));
  return sum;
}

void softmax(const float* x, float* y, int64_t n) {
  float max = 0.0f;
  const float sum = static_cast<float>(sum_exp(x, n, &max));
  for (int64_t i = 0; i < n; ++i) y[i] = exp_f32(x[i] - max) / sum;
}

}  // namespace

const ElementwiseTable kElementwise = {rms_norm_row, add,      axpy,    rope,
                                       sigmoid,      silu_mul, softmax, sum_exp};

}  // namespace fathom::ref
