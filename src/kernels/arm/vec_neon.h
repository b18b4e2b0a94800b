// NEON of AArch64 (ARMv8-A, which has fma and the conversion of F16) under the names the bodies
// use: 8 floats as two registers, masks for tails. Lanes, order and rounding are those of
// x86/vec_avx2.h, so that both sets give the same bytes. Everything is static and inlined.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

#include "kernels/exp_constants.h"

// Files for processors with more than the baseline set their own.
#if !defined(FATHOM_ISA_NAMESPACE)
#define FATHOM_ISA_NAMESPACE neon
#endif
#define FATHOM_INLINE static inline __attribute__((always_inline))
// Loops over registers must vanish: written before the loop, with the number of rounds.
#if defined(__clang__)
#define FATHOM_UNROLL _Pragma("clang loop unroll(full)")
#else
#define FATHOM_UNROLL _Pragma("GCC unroll 16")
#endif

namespace fathom::FATHOM_ISA_NAMESPACE {

struct F32 {
  float32x4_t low, high;
};
struct Mask {
  int64_t lanes;  // [0, lanes) exist
};
static constexpr int64_t kLanes = 8;

FATHOM_INLINE Mask first_lanes(int64_t n) {  // lanes [0, n), n clamped to [0, 8]
  return {n >= kLanes ? kLanes : n <= 0 ? 0 : n};
}

FATHOM_INLINE F32 set1(float x) { return {vdupq_n_f32(x), vdupq_n_f32(x)}; }
FATHOM_INLINE F32 zero() { return set1(0.0f); }
FATHOM_INLINE F32 load(const float* p) { return {vld1q_f32(p), vld1q_f32(p + 4)}; }
FATHOM_INLINE void store(float* p, F32 x) {
  vst1q_f32(p, x.low);
  vst1q_f32(p + 4, x.high);
}
// There are no masked loads: tails go through a small buffer.
FATHOM_INLINE F32 load(const float* p, Mask m) {
  if (m.lanes == kLanes) return load(p);
  float tail[kLanes] = {};
  for (int64_t i = 0; i < m.lanes; ++i) tail[i] = p[i];
  return load(tail);
}
FATHOM_INLINE void store(float* p, F32 x, Mask m) {
  if (m.lanes == kLanes) return store(p, x);
  float tail[kLanes];
  store(tail, x);
  for (int64_t i = 0; i < m.lanes; ++i) p[i] = tail[i];
}
FATHOM_INLINE F32 add(F32 a, F32 b) { return {vaddq_f32(a.low, b.low), vaddq_f32(a.high, b.high)}; }
FATHOM_INLINE F32 sub(F32 a, F32 b) { return {vsubq_f32(a.low, b.low), vsubq_f32(a.high, b.high)}; }
FATHOM_INLINE F32 mul(F32 a, F32 b) { return {vmulq_f32(a.low, b.low), vmulq_f32(a.high, b.high)}; }
FATHOM_INLINE F32 div(F32 a, F32 b) { return {vdivq_f32(a.low, b.low), vdivq_f32(a.high, b.high)}; }
FATHOM_INLINE F32 sqrt(F32 a) { return {vsqrtq_f32(a.low), vsqrtq_f32(a.high)}; }
FATHOM_INLINE F32 abs(F32 a) { return {vabsq_f32(a.low), vabsq_f32(a.high)}; }
FATHOM_INLINE F32 negate(F32 a) { return {vnegq_f32(a.low), vnegq_f32(a.high)}; }
// Not FMAX: b where either is NaN.
FATHOM_INLINE float32x4_t max4(float32x4_t a, float32x4_t b) {
  return vbslq_f32(vcgtq_f32(a, b), a, b);
}
FATHOM_INLINE float32x4_t min4(float32x4_t a, float32x4_t b) {
  return vbslq_f32(vcltq_f32(a, b), a, b);
}
FATHOM_INLINE F32 max(F32 a, F32 b) { return {max4(a.low, b.low), max4(a.high, b.high)}; }
FATHOM_INLINE F32 fma(F32 a, F32 b, F32 c) {  // a * b + c
  return {vfmaq_f32(c.low, a.low, b.low), vfmaq_f32(c.high, a.high, b.high)};
}
FATHOM_INLINE F32 fnma(F32 a, F32 b, F32 c) {  // c - a * b
  return {vfmsq_f32(c.low, a.low, b.low), vfmsq_f32(c.high, a.high, b.high)};
}
// a / b, correctly rounded, with inverse = 1 / b (Markstein 1990): three fast operations for a slow
// one. All finite, no subnormal quotient that matters.
FATHOM_INLINE F32 quotient(F32 a, F32 b, F32 inverse) {
  const F32 q = mul(a, inverse);
  return fma(fnma(q, b, a), inverse, q);
}
FATHOM_INLINE F32 select(Mask m, F32 a, F32 b) {  // m ? a : b
  static constexpr int32_t kIndex[8] = {0, 1, 2, 3, 4, 5, 6, 7};
  const int32x4_t lanes = vdupq_n_s32(static_cast<int32_t>(m.lanes));
  return {vbslq_f32(vcgtq_s32(lanes, vld1q_s32(kIndex)), a.low, b.low),
          vbslq_f32(vcgtq_s32(lanes, vld1q_s32(kIndex + 4)), a.high, b.high)};
}

// The cache line of p to the second-level cache. The compiler may not fold x into its uses as a
// load.
FATHOM_INLINE void prefetch(const char* p) { __builtin_prefetch(p, 0, 2); }
FATHOM_INLINE void keep_in_register(F32& x) { asm("" : "+w"(x.low), "+w"(x.high)); }

// Horizontal sums and maxima in halves: lane i with i + 4, then i + 2, i + 1.
FATHOM_INLINE float reduce_add(F32 x) {
  const float32x4_t b = vaddq_f32(x.low, x.high);
  const float32x2_t c = vadd_f32(vget_low_f32(b), vget_high_f32(b));
  return vget_lane_f32(c, 0) + vget_lane_f32(c, 1);
}
FATHOM_INLINE float reduce_max(F32 x) {
  const float32x4_t b = max4(x.low, x.high);
  const float32x4_t c = max4(b, vextq_f32(b, b, 2));
  return vgetq_lane_f32(max4(c, vdupq_laneq_f32(c, 1)), 0);
}

// exp_f32 in every lane (kernels/exp_constants.h).
FATHOM_INLINE float32x4_t exp4(float32x4_t x) {
  namespace k = exp_constants;
  const uint32x4_t drop = vcltq_f32(x, vdupq_n_f32(k::kMin));
  x = min4(vdupq_n_f32(k::kMax), x);
  const float32x4_t n = vrndnq_f32(vmulq_f32(x, vdupq_n_f32(k::kInvLn2)));
  const float32x4_t r =
      vfmsq_f32(vfmsq_f32(x, n, vdupq_n_f32(k::kLn2High)), n, vdupq_n_f32(k::kLn2Low));
  float32x4_t q = vfmaq_f32(vdupq_n_f32(k::kC3), vdupq_n_f32(k::kC4), r);
  q = vfmaq_f32(vdupq_n_f32(k::kC2), q, r);
  q = vfmaq_f32(vdupq_n_f32(k::kC1), q, r);
  q = vfmaq_f32(vdupq_n_f32(k::kC0), q, r);
  const float32x4_t p = vaddq_f32(vdupq_n_f32(1.0f), vfmaq_f32(r, q, vmulq_f32(r, r)));
  // 2^n in two steps: n = 128 has no float. Lanes out of range are cleared below.
  const int32x4_t exponent = vcvtq_s32_f32(n);
  const int32x4_t half = vshrq_n_s32(exponent, 1);
  const int32x4_t bias = vdupq_n_s32(127);
  const int32x4_t a = vshlq_n_s32(vaddq_s32(half, bias), 23);
  const int32x4_t b = vshlq_n_s32(vaddq_s32(vsubq_s32(exponent, half), bias), 23);
  const float32x4_t y = vmulq_f32(vmulq_f32(p, vreinterpretq_f32_s32(a)), vreinterpretq_f32_s32(b));
  return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(y), drop));
}
FATHOM_INLINE F32 exp(F32 x) { return {exp4(x.low), exp4(x.high)}; }

// Pairs of equal values: p[0], p[0], p[1], p[1], ... from kLanes / 2 floats of which the first n
// exist.
FATHOM_INLINE F32 load_twice(const float* p, int64_t n) {
  const float32x4_t v = n >= 4 ? vld1q_f32(p) : load(p, first_lanes(n)).low;
  return {vzip1q_f32(v, v), vzip2q_f32(v, v)};
}
FATHOM_INLINE F32 swap_pairs(F32 x) { return {vrev64q_f32(x.low), vrev64q_f32(x.high)}; }
// Even lanes a - b, odd lanes a + b.
FATHOM_INLINE F32 sub_add(F32 a, F32 b) {
  const uint32x4_t even = vreinterpretq_u32_u64(vdupq_n_u64(0x80000000u));  // the sign of each
  const auto flip = [even](float32x4_t v) __attribute__((always_inline)) {
    return vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(v), even));
  };
  return add(a, {flip(b.low), flip(b.high)});
}

// Sums of floats in double: lane i of the low half and lane i of the high half go to the same of 4
// sums.
struct F64Sum {
  float64x2_t first, second;
};
FATHOM_INLINE F64Sum f64_zero() { return {vdupq_n_f64(0.0), vdupq_n_f64(0.0)}; }
FATHOM_INLINE F64Sum f64_add(F64Sum s, F32 x) {
  s.first = vaddq_f64(s.first, vcvt_f64_f32(vget_low_f32(x.low)));
  s.second = vaddq_f64(s.second, vcvt_high_f64_f32(x.low));
  return {vaddq_f64(s.first, vcvt_f64_f32(vget_low_f32(x.high))),
          vaddq_f64(s.second, vcvt_high_f64_f32(x.high))};
}
FATHOM_INLINE double f64_reduce(F64Sum s) {
  const float64x2_t b = vaddq_f64(s.first, s.second);
  return vgetq_lane_f64(b, 0) + vgetq_lane_f64(b, 1);
}

// r[i] lane j becomes r[j] lane i: the four 4 x 4 corners each, two of them exchanged.
FATHOM_INLINE void transpose4(float32x4_t* r) {
  const float32x4_t ab0 = vtrn1q_f32(r[0], r[1]), ab1 = vtrn2q_f32(r[0], r[1]);
  const float32x4_t cd0 = vtrn1q_f32(r[2], r[3]), cd1 = vtrn2q_f32(r[2], r[3]);
  r[0] = vcombine_f32(vget_low_f32(ab0), vget_low_f32(cd0));
  r[1] = vcombine_f32(vget_low_f32(ab1), vget_low_f32(cd1));
  r[2] = vcombine_f32(vget_high_f32(ab0), vget_high_f32(cd0));
  r[3] = vcombine_f32(vget_high_f32(ab1), vget_high_f32(cd1));
}
FATHOM_INLINE void transpose_lanes(F32* r) {
  float32x4_t corners[2][2][4];
  FATHOM_UNROLL
  for (int i = 0; i < 8; ++i) {
    corners[i / 4][0][i % 4] = r[i].low;
    corners[i / 4][1][i % 4] = r[i].high;
  }
  FATHOM_UNROLL
  for (int i = 0; i < 4; ++i) transpose4(corners[i / 2][i % 2]);
  FATHOM_UNROLL
  for (int i = 0; i < 8; ++i) r[i] = {corners[0][i / 4][i % 4], corners[1][i / 4][i % 4]};
}

// Tiles of the attention kernels: rows x vectors of accumulators that fit the registers.
static constexpr int kRowTile = 4;
static constexpr int kVecTile = 2;

}  // namespace fathom::FATHOM_ISA_NAMESPACE
