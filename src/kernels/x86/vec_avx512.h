// Vectors of 16 floats on AVX-512 (F, BW, DQ, VL, VBMI). The same names as vec_avx2.h: a kernel's body is written once
// against them. Everything has internal linkage: no code of this file can replace code built for another machine.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace fathom::avx512 {
namespace {

using F = __m512;     // 16 floats
using I = __m512i;    // 16 int32
using M = __mmask16;  // one truth a lane
constexpr int kLanes = 16;

inline F zero() { return _mm512_setzero_ps(); }
inline F set1(float v) { return _mm512_set1_ps(v); }
inline I set1_i(int32_t v) { return _mm512_set1_epi32(v); }
inline F load(const float* p) { return _mm512_loadu_ps(p); }
inline void store(float* p, F v) { _mm512_storeu_ps(p, v); }
// Lanes [0, n) of memory, 0 < n < kLanes; the rest is zero, nothing else is touched.
inline M first_lanes(int64_t n) { return static_cast<M>((1u << n) - 1u); }
inline F load_first(const float* p, int64_t n) { return _mm512_maskz_loadu_ps(first_lanes(n), p); }
inline void store_first(float* p, F v, int64_t n) { _mm512_mask_storeu_ps(p, first_lanes(n), v); }

inline F add(F a, F b) { return _mm512_add_ps(a, b); }
inline F sub(F a, F b) { return _mm512_sub_ps(a, b); }
inline F mul(F a, F b) { return _mm512_mul_ps(a, b); }
inline F div(F a, F b) { return _mm512_div_ps(a, b); }
inline F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }  // a * b + c, rounded once
// Where one is NaN: b.
inline F min(F a, F b) { return _mm512_min_ps(a, b); }
inline F max(F a, F b) { return _mm512_max_ps(a, b); }
inline F sqrt(F a) { return _mm512_sqrt_ps(a); }

inline I as_int(F v) { return _mm512_castps_si512(v); }
inline F as_float(I v) { return _mm512_castsi512_ps(v); }
inline I add(I a, I b) { return _mm512_add_epi32(a, b); }
inline I sub(I a, I b) { return _mm512_sub_epi32(a, b); }
inline I bit_and(I a, I b) { return _mm512_and_si512(a, b); }
inline I bit_or(I a, I b) { return _mm512_or_si512(a, b); }
template <int kBits>
inline I shift_left(I a) {
  return _mm512_slli_epi32(a, kBits);
}
template <int kBits>
inline I shift_right(I a) {  // zeros come in
  return _mm512_srli_epi32(a, kBits);
}

inline M less(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
inline M is_nan(F a) { return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q); }
inline F select(M which, F if_true, F if_false) { return _mm512_mask_blend_ps(which, if_false, if_true); }
inline F abs(F a) { return as_float(bit_and(as_int(a), set1_i(0x7fffffff))); }

// The sum and the largest of the lanes, by halves: l with l + 8, then + 4, + 2, + 1.
inline float reduce_add(F v) {
  const __m256 v8 = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  const __m128 v4 = _mm_add_ps(_mm256_castps256_ps128(v8), _mm256_extractf128_ps(v8, 1));
  const __m128 v2 = _mm_add_ps(v4, _mm_movehl_ps(v4, v4));
  return _mm_cvtss_f32(_mm_add_ss(v2, _mm_movehdup_ps(v2)));
}
inline float reduce_max(F v) {
  const __m256 v8 = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  const __m128 v4 = _mm_max_ps(_mm256_castps256_ps128(v8), _mm256_extractf128_ps(v8, 1));
  const __m128 v2 = _mm_max_ps(v4, _mm_movehl_ps(v4, v4));
  return _mm_cvtss_f32(_mm_max_ss(v2, _mm_movehdup_ps(v2)));
}

// Narrow formats, exactly as floats.
inline F bf16_bits(__m256i bits) { return as_float(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16)); }
inline F load_bf16(const void* p) { return bf16_bits(_mm256_loadu_si256(static_cast<const __m256i*>(p))); }
inline F load_bf16_first(const void* p, int64_t n) { return bf16_bits(_mm256_maskz_loadu_epi16(first_lanes(n), p)); }
inline F load_f16(const void* p) { return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p))); }
inline F load_f16_first(const void* p, int64_t n) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(n), p));
}

// E4M3 comes 64 bytes at a time: two lookups in tables of 128 bytes give the halves of a BF16 for every magnitude,
// subnormals and NaN included.
constexpr int kE4m3Step = 64;

struct E4m3Tables {
  alignas(64) uint8_t high[128];
  alignas(64) uint8_t low[128];
};
constexpr E4m3Tables make_e4m3_tables() {
  E4m3Tables tables{};
  for (int code = 0; code < 128; ++code) {
    int exponent = code >> 3, mantissa = code & 7, bits = 0;
    if (code == 0x7f) {
      bits = 0x7fc0;
    } else if (exponent > 0) {
      bits = ((exponent + 120) << 7) | (mantissa << 4);
    } else if (mantissa > 0) {
      exponent = 121;
      for (; mantissa < 8; mantissa *= 2) --exponent;
      bits = (exponent << 7) | ((mantissa & 7) << 4);
    }
    tables.high[code] = static_cast<uint8_t>(bits >> 8);
    tables.low[code] = static_cast<uint8_t>(bits & 0xff);
  }
  return tables;
}
constexpr E4m3Tables kE4m3Tables = make_e4m3_tables();

inline void widen_e4m3(__m512i codes, F out[4]) {
  const auto table = [](const uint8_t* p) { return _mm512_load_si512(p); };
  // Dwords 4i + j move to 4j + i, so that unpacking within lanes of 128 bits ends in ascending order.
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  codes = _mm512_permutexvar_epi32(order, codes);
  __m512i high = _mm512_permutex2var_epi8(table(kE4m3Tables.high), codes, table(kE4m3Tables.high + 64));
  const __m512i low = _mm512_permutex2var_epi8(table(kE4m3Tables.low), codes, table(kE4m3Tables.low + 64));
  // high | (codes & 0x80): the sign.
  high = _mm512_ternarylogic_epi32(high, codes, _mm512_set1_epi8(static_cast<char>(0x80)), 0xf8);
  const __m512i first = _mm512_unpacklo_epi8(low, high);
  const __m512i second = _mm512_unpackhi_epi8(low, high);
  const __m512i none = _mm512_setzero_si512();
  out[0] = as_float(_mm512_unpacklo_epi16(none, first));
  out[1] = as_float(_mm512_unpackhi_epi16(none, first));
  out[2] = as_float(_mm512_unpacklo_epi16(none, second));
  out[3] = as_float(_mm512_unpackhi_epi16(none, second));
}
inline void load_e4m3(const void* p, F out[4]) { widen_e4m3(_mm512_loadu_si512(p), out); }
inline void load_e4m3_first(const void* p, int64_t n, F out[4]) {  // 0 < n < 64
  widen_e4m3(_mm512_maskz_loadu_epi8((uint64_t{1} << n) - 1, p), out);
}

}  // namespace
}  // namespace fathom::avx512
