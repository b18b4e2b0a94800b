// The loops behind the pass back (elementwise_backward.h, saved_rows.h, wgrad.h,
// attention_backward.h), one table for each instruction set: single-threaded, raw pointers.
#pragma once

#include <cstdint>

namespace fathom {

// ---- sums of outer products: block[i, j] = sum over t of left[t, i] * right[t, j], t < n_t

inline constexpr int64_t kOuterRows = 128;  // t of one block, at most
inline constexpr int64_t kOuterStep = 16;   // columns of a packed panel are padded to this
inline constexpr int64_t kOuterRowStep = 32;

// Bytes of a packed operand, whatever the instruction set.
inline constexpr int64_t outer_bytes(int64_t n_t, int64_t n) {
  const int64_t rows = (n_t + kOuterRowStep - 1) / kOuterRowStep * kOuterRowStep;
  return rows * ((n + kOuterStep - 1) / kOuterStep * kOuterStep) * 4;
}

struct OuterPack {
  const float* x = nullptr;  // [n_t, n], ldx floats from row to row
  int64_t ldx = 0;
  int64_t n_t = 0;
  int64_t n = 0;
  bool bf16 = false;    // rounded to BF16
  void* out = nullptr;  // outer_bytes(), aligned to 64
};

struct OuterProduct {
  const void* left = nullptr;   // packed [n_t, m]
  const void* right = nullptr;  // packed [n_t, n]
  int64_t n_t = 0, m = 0, n = 0;
  // Of the result; the begins are multiples of kOuterStep.
  int64_t m_begin = 0, m_end = 0, n_begin = 0, n_end = 0;
  // c + block, or with scales fma(block, left_scales[i] * right_scales[j], c).
  const float* left_scales = nullptr;   // [m]
  const float* right_scales = nullptr;  // [n]
  bool add = false;                     // false: c is taken for zero
  float* c = nullptr;                   // of (m_begin, n_begin)
  int64_t ldc = 0;
};

struct OuterKernels {
  void (*pack_left)(const OuterPack&);
  void (*pack_right)(const OuterPack&);
  void (*multiply)(const OuterProduct&);
};

// ---- everything else

struct GradientTable {
  // dx = or += the gradient by x; dweight += dy * x / rms. All [n].
  void (*rms_norm_backward)(const float* x, const float* weight, float eps, const float* dy,
                            float* dx, bool add, float* dweight, int64_t n);
  void (*silu_mul_backward)(const float* gate, const float* up, const float* dh, float* dgate,
                            float* dup, int64_t n);
  void (*scale)(float weight, float* x, int64_t n);
  float (*dot)(const float* x, const float* y, int64_t n);
  // y = exp(x - shift) * scale.
  void (*exp_scaled)(const float* x, float shift, float scale, float* y, int64_t n);
  // One query against n keys, s with softmax_scale: p = exp(s - lse), ds = p * (dp - d) *
  // softmax_scale; p and ds may be s and dp.
  void (*attention_row)(const float* s, const float* dp, float softmax_scale, float lse, float d,
                        float* p, float* ds, int64_t n);

  float (*amax)(const float* x, int64_t n);  // a NaN does not count
  void (*e4m3_codes)(const float* x, float scale, uint8_t* codes, int64_t n);  // of x / scale
  // x / scale as E5M6, times scale, as BF16, which holds it; scale is a power of two.
  void (*e5m6_codes)(const float* x, float scale, uint16_t* codes, int64_t n);
  // x [n_t, n] in place: the E4M3 value of x / scale with the scale of each column, by its amax.
  void (*quantize_columns)(float* x, int64_t ldx, int64_t n_t, int64_t n, float* scales);

  OuterKernels outer;       // F32 products; operands packed with bf16 are rounded
  OuterKernels outer_bf16;  // operands packed with bf16
};

namespace ref {
extern const GradientTable kGradient;
}
namespace avx2 {
extern const GradientTable kGradient;
}
namespace avx512 {
extern const GradientTable kGradient;
}
namespace avx512bf16 {
extern const GradientTable kGradient;
}
namespace amx {
extern const GradientTable kGradient;
}
namespace neon {
extern const GradientTable kGradient;
}

}  // namespace fathom
