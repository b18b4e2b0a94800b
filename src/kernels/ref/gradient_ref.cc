// The formulas of gradient_table.h as they are written, sums in double.
#include <algorithm>
#include <cmath>

#include "base/math.h"
#include "kernels/gradient_table.h"
#include "kernels/math.h"
#include "tensor/numeric.h"

namespace fathom::ref {
namespace {

void rms_norm_backward(const float* x, const float* weight, float eps, const float* dy, float* dx,
                       bool add, float* dweight, int64_t n) {
  double squares = 0, products = 0;
  for (int64_t i = 0; i < n; ++i) {
    squares += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    products += static_cast<double>(x[i]) * static_cast<double>(weight[i] * dy[i]);
  }
  const auto count = static_cast<double>(n);
  const double inv_rms = 1 / std::sqrt(squares / count + static_cast<double>(eps));
  const double slope = inv_rms * inv_rms * inv_rms * products / count;
  for (int64_t i = 0; i < n; ++i) {
    const auto v = static_cast<double>(x[i]), d = static_cast<double>(dy[i]);
    const double g = inv_rms * static_cast<double>(weight[i]) * d - v * slope;
    dweight[i] += static_cast<float>(d * v * inv_rms);
    dx[i] = static_cast<float>(add ? static_cast<double>(dx[i]) + g : g);
  }
}

void silu_mul_backward(const float* gate, const float* up, const float* dh, float* dgate,
                       float* dup, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const float g = gate[i], u = up[i], d = dh[i];
    const float s = sigmoid_f32(g);
    dup[i] = d * (g * s);
    dgate[i] = d * u * (s * std::fma(g, 1.0f - s, 1.0f));
  }
}

void scale(float weight, float* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] *= weight;
}

float dot(const float* x, const float* y, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(y[i]);
  return static_cast<float>(sum);
}

void exp_scaled(const float* x, float shift, float scale, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = exp_f32(x[i] - shift) * scale;
}

void attention_row(const float* s, const float* dp, float softmax_scale, float lse, float d,
                   float* p, float* ds, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const float weight = exp_f32(s[i] - lse);
    const float slope = weight * (dp[i] - d) * softmax_scale;
    p[i] = weight;
    ds[i] = slope;
  }
}

float amax(const float* x, int64_t n) {
  float out = 0;
  for (int64_t i = 0; i < n; ++i) out = std::max(out, std::fabs(x[i]));
  return out;
}

void e4m3_codes(const float* x, float scale, uint8_t* codes, int64_t n) {
  for (int64_t i = 0; i < n; ++i) codes[i] = f32_to_e4m3(x[i] / scale);
}

// 64 steps between powers of two, the smallest 2^-20.
float e5m6_value(float value) {
  if (!std::isfinite(value) || value == 0) return value;
  const int exponent = std::max(std::ilogb(value), -14);
  const float step = std::ldexp(1.0f, exponent - 6);
  return std::copysign(std::nearbyint(value / step) * step, value);
}

void e5m6_codes(const float* x, float scale, uint16_t* codes, int64_t n) {
  for (int64_t i = 0; i < n; ++i) codes[i] = f32_to_bf16(e5m6_value(x[i] / scale) * scale);
}

void quantize_columns(float* x, int64_t ldx, int64_t n_t, int64_t n, float* scales) {
  for (int64_t j = 0; j < n; ++j) {
    float largest = 0;
    for (int64_t t = 0; t < n_t; ++t) largest = std::max(largest, std::fabs(x[t * ldx + j]));
    scales[j] = fp8_scale(largest, /*ue8m0=*/false);
    for (int64_t t = 0; t < n_t; ++t)
      x[t * ldx + j] = e4m3_to_f32(f32_to_e4m3(x[t * ldx + j] / scales[j]));
  }
}

void pack_rows(const OuterPack& args) {
  const int64_t width = round_up(args.n, kOuterStep);
  auto* out = static_cast<float*>(args.out);
  for (int64_t t = 0; t < args.n_t; ++t) {
    for (int64_t j = 0; j < width; ++j) {
      const float v = j < args.n ? args.x[t * args.ldx + j] : 0.0f;
      out[t * width + j] = args.bf16 ? round_to_bf16(v) : v;
    }
  }
}

void multiply(const OuterProduct& args) {
  const int64_t left_width = round_up(args.m, kOuterStep);
  const int64_t right_width = round_up(args.n, kOuterStep);
  const auto* left = static_cast<const float*>(args.left);
  const auto* right = static_cast<const float*>(args.right);
  for (int64_t i = args.m_begin; i < args.m_end; ++i) {
    for (int64_t j = args.n_begin; j < args.n_end; ++j) {
      double block = 0;
      for (int64_t t = 0; t < args.n_t; ++t)
        block += static_cast<double>(left[t * left_width + i]) *
                 static_cast<double>(right[t * right_width + j]);
      float& c = args.c[(i - args.m_begin) * args.ldc + j - args.n_begin];
      const auto sum = static_cast<float>(block);
      const float before = args.add ? c : 0.0f;
      c = args.left_scales == nullptr
              ? before + sum
              : std::fma(sum, args.left_scales[i] * args.right_scales[j], before);
    }
  }
}

constexpr OuterKernels kOuter = {pack_rows, pack_rows, multiply};

}  // namespace

const GradientTable kGradient = {rms_norm_backward, silu_mul_backward, scale,  dot,
                                 exp_scaled,        attention_row,     amax,   e4m3_codes,
                                 e5m6_codes,        quantize_columns,  kOuter, kOuter};

}  // namespace fathom::ref
