// The attention kernels as the formulas say, sums in double within a block, states in F32 between
// blocks.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/attention_args.h"
#include "kernels/math.h"
#include "tensor/numeric.h"

namespace fathom::ref {
namespace {

// The two BF16 values of a unit.
float low_half(float unit) { return std::bit_cast<float>(std::bit_cast<uint32_t>(unit) << 16); }
float high_half(float unit) {
  return std::bit_cast<float>(std::bit_cast<uint32_t>(unit) & 0xffff0000u);
}

double product(float a, float b) { return static_cast<double>(a) * static_cast<double>(b); }

float score(const AttendArgs& args, const float* q, int64_t key) {
  double sum = 0.0;
  for (int64_t u = 0; u < args.q_units; ++u) {
    const float k = args.keys[u * kBlockKeys + key];
    if (args.pairs) {
      sum += product(low_half(q[u]), low_half(k));
      sum += product(high_half(q[u]), high_half(k));
    } else {
      sum += product(q[u], k);
    }
  }
  return static_cast<float>(sum) * args.softmax_scale;
}

float value(const AttendArgs& args, int64_t key, int64_t d) {
  if (!args.pairs) return args.values[key * args.value_stride + d];
  const float unit = args.values[key / 2 * args.value_stride + d];
  return key % 2 == 0 ? low_half(unit) : high_half(unit);
}

void attend_query(const AttendArgs& args, int64_t i, int64_t n_keys) {
  float p[kBlockKeys];
  for (int64_t j = 0; j < n_keys; ++j) p[j] = score(args, args.q + i * args.q_stride, j);
  const float m_new = std::max(args.m[i], *std::max_element(p, p + n_keys));
  const float correction = exp_f32(args.m[i] - m_new);
  double sum = 0.0;
  for (int64_t j = 0; j < n_keys; ++j) {
    p[j] = exp_f32(p[j] - m_new);
    sum += static_cast<double>(p[j]);
    if (args.pairs) p[j] = round_to_bf16(p[j]);
  }
  args.m[i] = m_new;
  args.l[i] = static_cast<float>(product(args.l[i], correction) + sum);
  float* o = args.o + i * args.o_stride;
  for (int64_t d = 0; d < args.v_dims; ++d) {
    double total = product(o[d], correction);
    for (int64_t j = 0; j < n_keys; ++j) total += product(p[j], value(args, j, d));
    o[d] = static_cast<float>(total);
  }
}

void attend(const AttendArgs& args) {
  for (int64_t i = 0; i < args.n_queries; ++i) {
    const int64_t n_keys =
        std::clamp<int64_t>(args.first_count + i * args.count_step, 0, kBlockKeys);
    if (n_keys > 0) attend_query(args, i, n_keys);
  }
}

void merge(float* m, float* l, float* o, float m2, float l2, const float* o2, int64_t dims) {
  const float m_new = std::max(*m, m2);
  const float c1 = exp_f32(*m - m_new);
  const float c2 = exp_f32(m2 - m_new);
  *m = m_new;
  *l = static_cast<float>(product(*l, c1) + product(l2, c2));
  for (int64_t d = 0; d < dims; ++d)
    o[d] = static_cast<float>(product(o[d], c1) + product(o2[d], c2));
}

void finish(const float* o, float l, float* y, int64_t dims) {
  for (int64_t d = 0; d < dims; ++d) y[d] = o[d] / l;
}

void accumulate(const AccumulateArgs& args) {
  for (int64_t i = 0; i < args.n_rows; ++i) {
    for (int64_t d = 0; d < args.dims; ++d) {
      double sum = static_cast<double>(args.y[i * args.y_stride + d]);
      for (int64_t s = 0; s < args.n_steps; ++s) {
        sum += product(args.x[i * args.x_stride + s], args.w[s * args.w_stride + d]);
      }
      args.y[i * args.y_stride + d] = static_cast<float>(sum);
    }
  }
}

void dots(const float* w, int64_t w_stride, int64_t n, const float* x, int64_t dims, float* y) {
  for (int64_t j = 0; j < n; ++j) {
    double sum = 0.0;
    for (int64_t d = 0; d < dims; ++d) sum += product(w[j * w_stride + d], x[d]);
    y[j] = static_cast<float>(sum);
  }
}

void transpose(const float* rows, int64_t row_stride, int64_t n_rows, int64_t n_units, float* out) {
  for (int64_t u = 0; u < n_units; ++u) {
    for (int64_t j = 0; j < kBlockKeys; ++j)
      out[u * kBlockKeys + j] = j < n_rows ? rows[j * row_stride + u] : 0.0f;
  }
}

void interleave(const uint16_t* rows, int64_t row_stride, int64_t n_rows, int64_t n, float* out) {
  for (int64_t j = 0; j < kBlockKeys; j += 2) {
    for (int64_t d = 0; d < n; ++d) {
      const uint32_t low = j < n_rows ? rows[j * row_stride + d] : 0u;
      const uint32_t high = j + 1 < n_rows ? rows[(j + 1) * row_stride + d] : 0u;
      out[j / 2 * n + d] = std::bit_cast<float>(low | (high << 16));
    }
  }
}

void to_bf16(const float* x, uint16_t* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = f32_to_bf16(x[i]);
}

void from_bf16(const uint16_t* x, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = bf16_to_f32(x[i]);
}

void from_e4m3(const uint8_t* x, const char* scales, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    float scale;
    std::memcpy(&scale, scales + i / 128 * 4, sizeof scale);
    y[i] = e4m3_to_f32(x[i]) * scale;
  }
}

}  // namespace

const AttentionTable kAttention = {attend,    merge,      finish,  accumulate, dots,
                                   transpose, interleave, to_bf16, from_bf16,  from_e4m3};

}  // namespace fathom::ref
