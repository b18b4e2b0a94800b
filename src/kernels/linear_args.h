// What linear.cc hands to the kernels of one instruction set: raw pointers and numbers, one
// thread's work. The files of an instruction set include nothing but this, so no code of theirs can
// leak into the rest.
#pragma once

#include <cstdint>

namespace fathom {

// Prepared rows are padded with zeros to a multiple of this, the K of one FP8 scale.
inline constexpr int64_t kLinearBlock = 128;
inline constexpr int64_t kMaxSegments = 8;

enum class WeightType : uint8_t { kF32, kF16, kBf16, kE4m3 };

// y[i, n - n_begin] = sum over k of x[row(i), k] * w[n, k] for i in [0, n_rows), n in [n_begin,
// n_end).
struct LinearRange {
  const float* x = nullptr;  // prepared rows, padded with zeros to a multiple of kLinearBlock
  int64_t x_stride = 0;      // floats
  const float* x_scales = nullptr;  // [rows, ceil(k/128)], 1 where the format has no scale
  int64_t x_scale_stride = 0;
  const int32_t* rows = nullptr;  // row(i); null: row(i) = i
  int64_t n_rows = 0;

  WeightType w_type = WeightType::kF32;
  const char* w = nullptr;  // row 0 of the weight; rows are dense, any alignment
  int64_t k = 0;
  const float* w_scales = nullptr;  // kE4m3: [ceil(n/128), ceil(k/128)]
  int64_t n_begin = 0, n_end = 0;
  int n_segments = 1;  // 1, or 8 with k a multiple of 1024

  float* y = nullptr;
  int64_t ldy = 0;

  int64_t row(int64_t i) const { return rows == nullptr ? i : rows[i]; }
};

enum class RowRounding : uint8_t { kNone, kBf16, kE4m3, kE4m3Ue8m0 };

// One row of an input, made ready: rounded, with zeros up to k_padded.
struct PrepareRow {
  const float* x = nullptr;
  int64_t k = 0;
  int64_t k_padded = 0;  // k rounded up to a multiple of 128
  RowRounding rounding = RowRounding::kNone;
  float* out = nullptr;     // [k_padded]
  float* scales = nullptr;  // [k_padded / 128]: of the tile for E4M3, else 1
};

// One row of a weight as F32.
struct WeightRow {
  WeightType w_type = WeightType::kF32;
  const char* w = nullptr;  // the row
  int64_t k = 0;
  const float* scales = nullptr;  // kE4m3: [ceil(k/128)] of this row
  float* out = nullptr;
};

// Memory of one weight, for addressing.
inline constexpr int64_t weight_type_bytes(WeightType type) {
  return type == WeightType::kF32 ? 4 : type == WeightType::kE4m3 ? 1 : 2;
}

namespace ref {
void linear_range(const LinearRange& args);
void prepare_row(const PrepareRow& args);
void weight_row(const WeightRow& args);
}  // namespace ref
namespace avx2 {
void linear_range(const LinearRange& args);
void prepare_row(const PrepareRow& args);
void weight_row(const WeightRow& args);
}  // namespace avx2
namespace avx512 {
void linear_range(const LinearRange& args);
void prepare_row(const PrepareRow& args);
void weight_row(const WeightRow& args);
}  // namespace avx512
namespace neon {
void linear_range(const LinearRange& args);
void prepare_row(const PrepareRow& args);
void weight_row(const WeightRow& args);
}  // namespace neon

}  // namespace fathom
