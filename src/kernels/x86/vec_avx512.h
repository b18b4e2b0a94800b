// AVX-512 under the names the bodies use: 16 floats, masks for tails. Everything is static and
// inlined, so that no code of this instruction set can be linked into other files.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/exp_constants.h"

#define FATHOM_ISA_NAMESPACE avx512
#define FATHOM_INLINE static inline __attribute__((always_inline))
// Loops over registers must vanish: written before the loop, with the number of rounds.
#if defined(__clang__)
#define FATHOM_UNROLL _Pragma("clang loop unroll(full)")
#else
#define FATHOM_UNROLL _Pragma("GCC unroll 16")
#endif

namespace fathom::avx512 {

using F32 = __m512;
using Mask = __mmask16;
static constexpr int64_t kLanes = 16;

FATHOM_INLINE Mask first_lanes(int64_t n) {  // lanes [0, n), n clamped to [0, 16]
  return n >= kLanes ? Mask{0xffff} : n <= 0 ? Mask{0} : static_cast<Mask>((1u << n) - 1u);
}

FATHOM_INLINE F32 zero() { return _mm512_setzero_ps(); }
FATHOM_INLINE F32 set1(float x) { return _mm512_set1_ps(x); }
FATHOM_INLINE F32 load(const float* p) { return _mm512_loadu_ps(p); }
FATHOM_INLINE F32 load(const float* p, Mask m) { return _mm512_maskz_loadu_ps(m, p); }
FATHOM_INLINE void store(float* p, F32 x) { _mm512_storeu_ps(p, x); }
FATHOM_INLINE void store(float* p, F32 x, Mask m) { _mm512_mask_storeu_ps(p, m, x); }
FATHOM_INLINE F32 add(F32 a, F32 b) { return _mm512_add_ps(a, b); }
FATHOM_INLINE F32 sub(F32 a, F32 b) { return _mm512_sub_ps(a, b); }
FATHOM_INLINE F32 mul(F32 a, F32 b) { return _mm512_mul_ps(a, b); }
FATHOM_INLINE F32 div(F32 a, F32 b) { return _mm512_div_ps(a, b); }
FATHOM_INLINE F32 sqrt(F32 a) { return _mm512_sqrt_ps(a); }
FATHOM_INLINE F32 max(F32 a, F32 b) { return _mm512_max_ps(a, b); }  // b where either is NaN
FATHOM_INLINE F32 fma(F32 a, F32 b, F32 c) { return _mm512_fmadd_ps(a, b, c); }    // a * b + c
FATHOM_INLINE F32 fnma(F32 a, F32 b, F32 c) { return _mm512_fnmadd_ps(a, b, c); }  // c - a * b
// a / b, correctly rounded, with inverse = 1 / b (Markstein 1990): three fast operations for a slow
// one. All finite, no subnormal quotient that matters.
FATHOM_INLINE F32 quotient(F32 a, F32 b, F32 inverse) {
  const F32 q = mul(a, inverse);
  return fma(fnma(q, b, a), inverse, q);
}
FATHOM_INLINE F32 select(Mask m, F32 a, F32 b) {
  return _mm512_mask_blend_ps(m, b, a);
}  // m ? a : b
FATHOM_INLINE F32 negate(F32 a) { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f)); }

// The cache line of p to the second-level cache. The compiler may not fold x into its uses as a
// load.
FATHOM_INLINE void prefetch(const char* p) { _mm_prefetch(p, _MM_HINT_T1); }
FATHOM_INLINE void keep_in_register(F32& x) { asm("" : "+v"(x)); }

// Horizontal sums and maxima in halves: lane i with i + 8, then i + 4, i + 2, i + 1.
FATHOM_INLINE float reduce_add(F32 x) {
  const __m256 a = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
  const __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
FATHOM_INLINE float reduce_max(F32 x) {
  const __m256 a = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
  const __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 c = _mm_max_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}

// exp_f32 in every lane (kernels/exp_constants.h).
FATHOM_INLINE F32 exp(F32 x) {
  namespace k = exp_constants;
  const Mask keep = _mm512_cmp_ps_mask(x, _mm512_set1_ps(k::kMin), _CMP_NLT_UQ);
  x = _mm512_min_ps(_mm512_set1_ps(k::kMax), x);
  const F32 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(k::kInvLn2)),
                                     _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const F32 r = fnma(n, set1(k::kLn2Low), fnma(n, set1(k::kLn2High), x));
  F32 q = fma(set1(k::kC4), r, set1(k::kC3));
  q = fma(q, r, set1(k::kC2));
  q = fma(q, r, set1(k::kC1));
  q = fma(q, r, set1(k::kC0));
  const F32 p = add(set1(1.0f), fma(q, mul(r, r), r));
  return _mm512_maskz_scalef_ps(keep, p, n);
}

// Pairs of equal values: p[0], p[0], p[1], p[1], ... from kLanes / 2 floats of which the first n
// exist.
FATHOM_INLINE F32 load_twice(const float* p, int64_t n) {
  const __m512i index = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
  const Mask m = static_cast<Mask>(first_lanes(n) & 0xff);
  return _mm512_permutexvar_ps(index, load(p, m));
}
FATHOM_INLINE F32 swap_pairs(F32 x) { return _mm512_permute_ps(x, 0xb1); }
// Even lanes a - b, odd lanes a + b.
FATHOM_INLINE F32 sub_add(F32 a, F32 b) {
  return _mm512_mask_add_ps(sub(a, b), Mask{0xaaaa}, a, b);
}

// Sums of floats in double: lane i of the low half and lane i of the high half go to the same of 8
// sums.
struct F64Sum {
  __m512d sum;
};
FATHOM_INLINE F64Sum f64_zero() { return {_mm512_setzero_pd()}; }
FATHOM_INLINE F64Sum f64_add(F64Sum s, F32 x) {
  s.sum = _mm512_add_pd(s.sum, _mm512_cvtps_pd(_mm512_castps512_ps256(x)));
  return {_mm512_add_pd(s.sum, _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1)))};
}
FATHOM_INLINE double f64_reduce(F64Sum s) {
  const __m256d a = _mm256_add_pd(_mm512_castpd512_pd256(s.sum), _mm512_extractf64x4_pd(s.sum, 1));
  const __m128d b = _mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));
  return _mm_cvtsd_f64(_mm_add_sd(b, _mm_unpackhi_pd(b, b)));
}

// BF16 to F32 (exact) and back (ties to even, NaN stays NaN), as tensor/numeric.h defines them.
FATHOM_INLINE F32 load_bf16(const uint16_t* p, Mask m) {
  return _mm512_castsi512_ps(
      _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(m, p)), 16));
}
FATHOM_INLINE __m512i bf16_bits(F32 x) {  // in the low half of each 32-bit lane
  const __m512i bits = _mm512_castps_si512(x);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_srli_epi32(
      _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd), 16);
  const Mask nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
  return _mm512_mask_or_epi32(rounded, nan, _mm512_srli_epi32(bits, 16), _mm512_set1_epi32(0x40));
}
FATHOM_INLINE F32 round_bf16(F32 x) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(bf16_bits(x), 16));
}
FATHOM_INLINE void store_bf16(uint16_t* p, F32 x, Mask m) {
  _mm256_mask_storeu_epi16(p, m, _mm512_cvtepi32_epi16(bf16_bits(x)));
}

// E4M3 to F32 (exact): exponent and mantissa move into place, the product moves the bias, as
// e4m3_to_f32().
FATHOM_INLINE F32 load_e4m3(const uint8_t* p, Mask m) {
  const __m512i code = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(m, p));
  const __m512i magnitude = _mm512_and_si512(code, _mm512_set1_epi32(0x7f));
  const __m512i sign = _mm512_slli_epi32(_mm512_and_si512(code, _mm512_set1_epi32(0x80)), 24);
  const F32 scaled = mul(_mm512_castsi512_ps(_mm512_slli_epi32(magnitude, 20)), set1(0x1p120f));
  const Mask nan = _mm512_cmpeq_epi32_mask(magnitude, _mm512_set1_epi32(0x7f));
  const __m512i bits =
      _mm512_mask_mov_epi32(_mm512_castps_si512(scaled), nan, _mm512_set1_epi32(0x7fc00000));
  return _mm512_castsi512_ps(_mm512_or_si512(bits, sign));
}
FATHOM_INLINE F32 load_f16(const uint16_t* p, Mask m) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(m, p));
}

// Two BF16 values of a unit of 32 bits at a time, by VDPBF16PS. Measured on Intel (family 6) and
// AMD (Zen 4), a million random cases each: fma(a.low, b.low, fma(a.high, b.high, acc)), each
// rounded to nearest even.
FATHOM_INLINE F32 dot_pairs(F32 acc, F32 a, F32 b) {
  return _mm512_dpbf16_ps(acc, (__m512bh)a, (__m512bh)b);
}
// The unit with its upper BF16 value cleared.
FATHOM_INLINE F32 low_of_pairs(F32 x) {
  return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0xffff)));
}
// Units from rows of BF16: low[i] and high[i]; high may be null for zero.
FATHOM_INLINE F32 make_pairs(const uint16_t* low, const uint16_t* high, Mask m) {
  const __m512i a = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(m, low));
  const __m512i b = high == nullptr ? _mm512_setzero_si512()
                                    : _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(m, high));
  return _mm512_castsi512_ps(_mm512_or_si512(a, _mm512_slli_epi32(b, 16)));
}

// r[i] lane j becomes r[j] lane i.
FATHOM_INLINE void transpose_lanes(F32* r) {
  F32 t[16];
  FATHOM_UNROLL
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
  }
  FATHOM_UNROLL
  for (int i = 0; i < 16; i += 4) {
    FATHOM_UNROLL
    for (int h = 0; h < 2; ++h) {
      const __m512d a = _mm512_castps_pd(t[i + h]);
      const __m512d b = _mm512_castps_pd(t[i + 2 + h]);
      r[i + 2 * h] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
      r[i + 2 * h + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
    }
  }
  // r[4 g + c] holds, in quarter q, column 4 q + c of rows 4 g .. 4 g + 3.
  FATHOM_UNROLL
  for (int c = 0; c < 4; ++c) {
    const F32 a = _mm512_shuffle_f32x4(r[c], r[4 + c], 0x44);
    const F32 b = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0x44);
    const F32 d = _mm512_shuffle_f32x4(r[c], r[4 + c], 0xee);
    const F32 e = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0xee);
    t[c] = _mm512_shuffle_f32x4(a, b, 0x88);
    t[4 + c] = _mm512_shuffle_f32x4(a, b, 0xdd);
    t[8 + c] = _mm512_shuffle_f32x4(d, e, 0x88);
    t[12 + c] = _mm512_shuffle_f32x4(d, e, 0xdd);
  }
  FATHOM_UNROLL
  for (int i = 0; i < 16; ++i) r[i] = t[i];
}

// Tiles of the attention kernels: rows x vectors of accumulators that fit the registers.
static constexpr int kRowTile = 6;
static constexpr int kVecTile = 4;

}  // namespace fathom::avx512
