// AVX2 with FMA and F16C under the names the bodies use: 8 floats, masks for tails. Everything is
// static and inlined, so that no code of this instruction set can be linked into other files.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/exp_constants.h"

#define FATHOM_ISA_NAMESPACE avx2
#define FATHOM_INLINE static inline __attribute__((always_inline))
// Loops over registers must vanish: written before the loop, with the number of rounds.
#if defined(__clang__)
#define FATHOM_UNROLL _Pragma("clang loop unroll(full)")
#else
#define FATHOM_UNROLL _Pragma("GCC unroll 16")
#endif

namespace fathom::avx2 {

using F32 = __m256;
using Mask = __m256i;  // all bits of a lane or none
static constexpr int64_t kLanes = 8;

FATHOM_INLINE Mask first_lanes(int64_t n) {  // lanes [0, n), n clamped to [0, 8]
  const int lanes = n >= kLanes ? 8 : n <= 0 ? 0 : static_cast<int>(n);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(lanes), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

FATHOM_INLINE F32 zero() { return _mm256_setzero_ps(); }
FATHOM_INLINE F32 set1(float x) { return _mm256_set1_ps(x); }
FATHOM_INLINE F32 load(const float* p) { return _mm256_loadu_ps(p); }
FATHOM_INLINE F32 load(const float* p, Mask m) { return _mm256_maskload_ps(p, m); }
FATHOM_INLINE void store(float* p, F32 x) { _mm256_storeu_ps(p, x); }
FATHOM_INLINE void store(float* p, F32 x, Mask m) { _mm256_maskstore_ps(p, m, x); }
FATHOM_INLINE F32 add(F32 a, F32 b) { return _mm256_add_ps(a, b); }
FATHOM_INLINE F32 sub(F32 a, F32 b) { return _mm256_sub_ps(a, b); }
FATHOM_INLINE F32 mul(F32 a, F32 b) { return _mm256_mul_ps(a, b); }
FATHOM_INLINE F32 div(F32 a, F32 b) { return _mm256_div_ps(a, b); }
FATHOM_INLINE F32 sqrt(F32 a) { return _mm256_sqrt_ps(a); }
FATHOM_INLINE F32 max(F32 a, F32 b) { return _mm256_max_ps(a, b); }  // b where either is NaN
FATHOM_INLINE F32 fma(F32 a, F32 b, F32 c) { return _mm256_fmadd_ps(a, b, c); }    // a * b + c
FATHOM_INLINE F32 fnma(F32 a, F32 b, F32 c) { return _mm256_fnmadd_ps(a, b, c); }  // c - a * b
// a / b, correctly rounded, with inverse = 1 / b (Markstein 1990): three fast operations for a slow
// one. All finite, no subnormal quotient that matters.
FATHOM_INLINE F32 quotient(F32 a, F32 b, F32 inverse) {
  const F32 q = mul(a, inverse);
  return fma(fnma(q, b, a), inverse, q);
}
FATHOM_INLINE F32 select(Mask m, F32 a, F32 b) {  // m ? a : b
  return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(m));
}
FATHOM_INLINE F32 negate(F32 a) { return _mm256_xor_ps(a, _mm256_set1_ps(-0.0f)); }

// The cache line of p to the second-level cache. The compiler may not fold x into its uses as a
// load.
FATHOM_INLINE void prefetch(const char* p) { _mm_prefetch(p, _MM_HINT_T1); }
FATHOM_INLINE void keep_in_register(F32& x) { asm("" : "+v"(x)); }

// Horizontal sums and maxima in halves: lane i with i + 4, then i + 2, i + 1.
FATHOM_INLINE float reduce_add(F32 x) {
  const __m128 b = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
FATHOM_INLINE float reduce_max(F32 x) {
  const __m128 b = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  const __m128 c = _mm_max_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}

// exp_f32 in every lane (kernels/exp_constants.h).
FATHOM_INLINE F32 exp(F32 x) {
  namespace k = exp_constants;
  const F32 keep = _mm256_cmp_ps(x, set1(k::kMin), _CMP_NLT_UQ);
  x = _mm256_min_ps(set1(k::kMax), x);
  const F32 n =
      _mm256_round_ps(mul(x, set1(k::kInvLn2)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const F32 r = fnma(n, set1(k::kLn2Low), fnma(n, set1(k::kLn2High), x));
  F32 q = fma(set1(k::kC4), r, set1(k::kC3));
  q = fma(q, r, set1(k::kC2));
  q = fma(q, r, set1(k::kC1));
  q = fma(q, r, set1(k::kC0));
  const F32 p = add(set1(1.0f), fma(q, mul(r, r), r));
  // 2^n in two steps: n = 128 has no float. Lanes out of range are cleared below.
  const __m256i exponent = _mm256_cvtps_epi32(n);
  const __m256i half = _mm256_srai_epi32(exponent, 1);
  const __m256i bias = _mm256_set1_epi32(127);
  const __m256i a = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
  const __m256i b = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(exponent, half), bias), 23);
  return _mm256_and_ps(mul(mul(p, _mm256_castsi256_ps(a)), _mm256_castsi256_ps(b)), keep);
}

// Pairs of equal values: p[0], p[0], p[1], p[1], ... from kLanes / 2 floats of which the first n
// exist.
FATHOM_INLINE F32 load_twice(const float* p, int64_t n) {
  return _mm256_permutevar8x32_ps(load(p, first_lanes(n < 4 ? n : 4)),
                                  _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3));
}
FATHOM_INLINE F32 swap_pairs(F32 x) { return _mm256_permute_ps(x, 0xb1); }
// Even lanes a - b, odd lanes a + b.
FATHOM_INLINE F32 sub_add(F32 a, F32 b) { return _mm256_addsub_ps(a, b); }

// Sums of floats in double: lane i of the low half and lane i of the high half go to the same of 4
// sums.
struct F64Sum {
  __m256d sum;
};
FATHOM_INLINE F64Sum f64_zero() { return {_mm256_setzero_pd()}; }
FATHOM_INLINE F64Sum f64_add(F64Sum s, F32 x) {
  s.sum = _mm256_add_pd(s.sum, _mm256_cvtps_pd(_mm256_castps256_ps128(x)));
  return {_mm256_add_pd(s.sum, _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1)))};
}
FATHOM_INLINE double f64_reduce(F64Sum s) {
  const __m128d b = _mm_add_pd(_mm256_castpd256_pd128(s.sum), _mm256_extractf128_pd(s.sum, 1));
  return _mm_cvtsd_f64(_mm_add_sd(b, _mm_unpackhi_pd(b, b)));
}

// Narrow types have no masked loads: tails go through a small buffer. The mask says how many lanes
// exist.
FATHOM_INLINE int64_t lanes_of(Mask m) {
  return __builtin_popcount(static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(m))));
}
FATHOM_INLINE __m128i load_u16(const uint16_t* p, Mask m) {
  const int64_t n = lanes_of(m);
  if (n == kLanes) return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  alignas(16) uint16_t tail[8] = {};
  for (int64_t i = 0; i < n; ++i) tail[i] = p[i];
  return _mm_load_si128(reinterpret_cast<const __m128i*>(tail));
}

// BF16 to F32 (exact) and back (ties to even, NaN stays NaN), as tensor/numeric.h defines them.
FATHOM_INLINE F32 load_bf16(const uint16_t* p, Mask m) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_u16(p, m)), 16));
}
FATHOM_INLINE __m256i bf16_bits(F32 x) {  // in the low half of each 32-bit lane
  const __m256i bits = _mm256_castps_si256(x);
  const __m256i high = _mm256_srli_epi32(bits, 16);
  const __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_srli_epi32(
      _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd), 16);
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  return _mm256_blendv_epi8(rounded, _mm256_or_si256(high, _mm256_set1_epi32(0x40)), nan);
}
FATHOM_INLINE F32 round_bf16(F32 x) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(bf16_bits(x), 16));
}
FATHOM_INLINE void store_bf16(uint16_t* p, F32 x, Mask m) {
  const __m256i bits = bf16_bits(x);
  const __m128i packed =
      _mm_packus_epi32(_mm256_castsi256_si128(bits), _mm256_extracti128_si256(bits, 1));
  const int64_t n = lanes_of(m);
  if (n == kLanes) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), packed);
    return;
  }
  alignas(16) uint16_t tail[8];
  _mm_store_si128(reinterpret_cast<__m128i*>(tail), packed);
  for (int64_t i = 0; i < n; ++i) p[i] = tail[i];
}

// E4M3 to F32 (exact): exponent and mantissa move into place, the product moves the bias, as
// e4m3_to_f32().
FATHOM_INLINE F32 load_e4m3(const uint8_t* p, Mask m) {
  alignas(8) uint8_t bytes[8] = {};
  const int64_t n = lanes_of(m);
  if (n == kLanes) {
    __builtin_memcpy(bytes, p, 8);
  } else {
    for (int64_t i = 0; i < n; ++i) bytes[i] = p[i];
  }
  const __m256i code =
      _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes)));
  const __m256i magnitude = _mm256_and_si256(code, _mm256_set1_epi32(0x7f));
  const __m256i sign = _mm256_slli_epi32(_mm256_and_si256(code, _mm256_set1_epi32(0x80)), 24);
  const F32 scaled = mul(_mm256_castsi256_ps(_mm256_slli_epi32(magnitude, 20)), set1(0x1p120f));
  const __m256i nan = _mm256_cmpeq_epi32(magnitude, _mm256_set1_epi32(0x7f));
  const __m256i bits =
      _mm256_blendv_epi8(_mm256_castps_si256(scaled), _mm256_set1_epi32(0x7fc00000), nan);
  return _mm256_castsi256_ps(_mm256_or_si256(bits, sign));
}
FATHOM_INLINE F32 load_f16(const uint16_t* p, Mask m) { return _mm256_cvtph_ps(load_u16(p, m)); }

// Two BF16 values of a unit of 32 bits at a time: fma(a.high, b.high, fma(a.low, b.low, acc)).
FATHOM_INLINE F32 pair_low(F32 x) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(x), 16));
}
FATHOM_INLINE F32 pair_high(F32 x) {
  return _mm256_castsi256_ps(_mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(-0x10000)));
}
FATHOM_INLINE F32 dot_pairs(F32 acc, F32 a, F32 b) {
  return fma(pair_high(a), pair_high(b), fma(pair_low(a), pair_low(b), acc));
}
// The unit with its upper BF16 value cleared.
FATHOM_INLINE F32 low_of_pairs(F32 x) {
  return _mm256_castsi256_ps(_mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0xffff)));
}
// Units from rows of BF16: low[i] and high[i]; high may be null for zero.
FATHOM_INLINE F32 make_pairs(const uint16_t* low, const uint16_t* high, Mask m) {
  const __m256i a = _mm256_cvtepu16_epi32(load_u16(low, m));
  const __m256i b =
      high == nullptr ? _mm256_setzero_si256() : _mm256_cvtepu16_epi32(load_u16(high, m));
  return _mm256_castsi256_ps(_mm256_or_si256(a, _mm256_slli_epi32(b, 16)));
}

// r[i] lane j becomes r[j] lane i.
FATHOM_INLINE void transpose_lanes(F32* r) {
  F32 t[8];
  FATHOM_UNROLL
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
  FATHOM_UNROLL
  for (int i = 0; i < 8; i += 4) {
    FATHOM_UNROLL
    for (int h = 0; h < 2; ++h) {
      const __m256d a = _mm256_castps_pd(t[i + h]);
      const __m256d b = _mm256_castps_pd(t[i + 2 + h]);
      r[i + 2 * h] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
      r[i + 2 * h + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
    }
  }
  FATHOM_UNROLL
  for (int c = 0; c < 4; ++c) {
    t[c] = _mm256_permute2f128_ps(r[c], r[4 + c], 0x20);
    t[4 + c] = _mm256_permute2f128_ps(r[c], r[4 + c], 0x31);
  }
  FATHOM_UNROLL
  for (int i = 0; i < 8; ++i) r[i] = t[i];
}

// Tiles of the attention kernels: rows x vectors of accumulators that fit the registers.
static constexpr int kRowTile = 2;
static constexpr int kVecTile = 4;

}  // namespace fathom::avx2
