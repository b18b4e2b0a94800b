// The definition of a linear layer: plain loops in the order of the formula, sums of a segment
// (FP8: of a block of 128) in double, rounded to F32 once; FP8 blocks promoted with one F32 fma
// each, segments added as a tree.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/linear_args.h"
#include "tensor/numeric.h"

namespace fathom::ref {

namespace {

constexpr int64_t kRowChunk = 64;

// Weights [k_begin, k_begin + count) of a row, without scales.
void widen(WeightType type, const char* row, int64_t k_begin, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) {
    const char* at = row + (k_begin + i) * weight_type_bytes(type);
    uint16_t half = 0;
    switch (type) {
      case WeightType::kF32:
        std::memcpy(&out[i], at, 4);
        break;
      case WeightType::kF16:
        std::memcpy(&half, at, 2);
        out[i] = f16_to_f32(half);
        break;
      case WeightType::kBf16:
        std::memcpy(&half, at, 2);
        out[i] = bf16_to_f32(half);
        break;
      case WeightType::kE4m3:
        out[i] = e4m3_to_f32(static_cast<E4M3>(*at));
        break;
    }
  }
}

// sums[i] = the sum over [k_begin, k_end) for rows first .. first + count - 1 of the range and one
// column.
void segment_sums(const LinearRange& args, int64_t column, int64_t first, int64_t count,
                  int64_t k_begin, int64_t k_end, float* sums) {
  const char* w_row = args.w + column * args.k * weight_type_bytes(args.w_type);
  const bool promoted = args.w_type == WeightType::kE4m3;
  const int64_t n_blocks = (args.k + kLinearBlock - 1) / kLinearBlock;
  double totals[kRowChunk] = {};
  float running[kRowChunk] = {};
  float w[kLinearBlock];
  for (int64_t k0 = k_begin; k0 < k_end; k0 += kLinearBlock) {
    const int64_t n = std::min(kLinearBlock, k_end - k0);
    widen(args.w_type, w_row, k0, n, w);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t row = args.row(first + i);
      const float* x = args.x + row * args.x_stride + k0;
      double sum = promoted ? 0.0 : totals[i];
      for (int64_t k = 0; k < n; ++k) sum += double{x[k]} * w[k];
      totals[i] = sum;
      if (promoted) {
        const int64_t block = k0 / kLinearBlock;
        const float scale = args.x_scales[row * args.x_scale_stride + block] *
                            args.w_scales[column / kLinearBlock * n_blocks + block];
        running[i] = std::fma(static_cast<float>(sum), scale, running[i]);
      }
    }
  }
  for (int64_t i = 0; i < count; ++i)
    sums[i] = promoted ? running[i] : static_cast<float>(totals[i]);
}

}  // namespace

void linear_range(const LinearRange& args) {
  const int64_t segment = args.k / args.n_segments;
  float sums[kMaxSegments][kRowChunk];
  for (int64_t first = 0; first < args.n_rows; first += kRowChunk) {
    const int64_t count = std::min(kRowChunk, args.n_rows - first);
    for (int64_t n = args.n_begin; n < args.n_end; ++n) {
      for (int s = 0; s < args.n_segments; ++s) {
        segment_sums(args, n, first, count, s * segment, (s + 1) * segment, sums[s]);
      }
      for (int64_t i = 0; i < count; ++i) {
        float& y = args.y[(first + i) * args.ldy + n - args.n_begin];
        if (args.n_segments == 1) {
          y = sums[0][i];
        } else {
          y = ((sums[0][i] + sums[1][i]) + (sums[2][i] + sums[3][i])) +
              ((sums[4][i] + sums[5][i]) + (sums[6][i] + sums[7][i]));
        }
      }
    }
  }
}

void prepare_row(const PrepareRow& args) {
  float* out = args.out;
  for (int64_t k0 = 0; k0 < args.k_padded; k0 += kLinearBlock) {
    const int64_t end = std::min(args.k, k0 + kLinearBlock);
    float& scale = args.scales[k0 / kLinearBlock];
    scale = 1.0f;
    if (args.rounding == RowRounding::kE4m3 || args.rounding == RowRounding::kE4m3Ue8m0) {
      float amax = 0.0f;
      for (int64_t k = k0; k < end; ++k) {
        if (std::fabs(args.x[k]) > amax) amax = std::fabs(args.x[k]);
      }
      scale = fp8_scale(amax, args.rounding == RowRounding::kE4m3Ue8m0);
      for (int64_t k = k0; k < end; ++k) out[k] = e4m3_to_f32(f32_to_e4m3(args.x[k] / scale));
    } else if (args.rounding == RowRounding::kBf16) {
      for (int64_t k = k0; k < end; ++k) out[k] = round_to_bf16(args.x[k]);
    } else {
      for (int64_t k = k0; k < end; ++k) out[k] = args.x[k];
    }
  }
  for (int64_t k = args.k; k < args.k_padded; ++k) out[k] = 0.0f;
}

void weight_row(const WeightRow& args) {
  widen(args.w_type, args.w, 0, args.k, args.out);
  if (args.w_type != WeightType::kE4m3) return;
  for (int64_t k = 0; k < args.k; ++k) args.out[k] *= args.scales[k / kLinearBlock];
}

}  // namespace fathom::ref
