// Vectors of 8 floats on AVX2, FMA and F16C. The same names as vec_avx512.h: a kernel's body is written once against
// them. Everything has internal linkage: no code of this file can replace code built for another machine.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace fathom::avx2 {
namespace {

using F = __m256;   // 8 floats
using I = __m256i;  // 8 int32
using M = __m256;   // one truth a lane: all bits or none
constexpr int kLanes = 8;

inline F zero() { return _mm256_setzero_ps(); }
inline F set1(float v) { return _mm256_set1_ps(v); }
inline I set1_i(int32_t v) { return _mm256_set1_epi32(v); }
inline F load(const float* p) { return _mm256_loadu_ps(p); }
inline void store(float* p, F v) { _mm256_storeu_ps(p, v); }
// Lanes [0, n) of memory, 0 < n < kLanes; the rest is zero, nothing else is touched.
inline I first_lanes(int64_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline F load_first(const float* p, int64_t n) { return _mm256_maskload_ps(p, first_lanes(n)); }
inline void store_first(float* p, F v, int64_t n) { _mm256_maskstore_ps(p, first_lanes(n), v); }

inline F add(F a, F b) { return _mm256_add_ps(a, b); }
inline F sub(F a, F b) { return _mm256_sub_ps(a, b); }
inline F mul(F a, F b) { return _mm256_mul_ps(a, b); }
inline F div(F a, F b) { return _mm256_div_ps(a, b); }
inline F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }  // a * b + c, rounded once
// Where one is NaN: b.
inline F min(F a, F b) { return _mm256_min_ps(a, b); }
inline F max(F a, F b) { return _mm256_max_ps(a, b); }
inline F sqrt(F a) { return _mm256_sqrt_ps(a); }

inline I as_int(F v) { return _mm256_castps_si256(v); }
inline F as_float(I v) { return _mm256_castsi256_ps(v); }
inline I add(I a, I b) { return _mm256_add_epi32(a, b); }
inline I sub(I a, I b) { return _mm256_sub_epi32(a, b); }
inline I bit_and(I a, I b) { return _mm256_and_si256(a, b); }
inline I bit_or(I a, I b) { return _mm256_or_si256(a, b); }
template <int kBits>
inline I shift_left(I a) {
  return _mm256_slli_epi32(a, kBits);
}
template <int kBits>
inline I shift_right(I a) {  // zeros come in
  return _mm256_srli_epi32(a, kBits);
}

inline M less(F a, F b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
inline M is_nan(F a) { return _mm256_cmp_ps(a, a, _CMP_UNORD_Q); }
inline F select(M which, F if_true, F if_false) { return _mm256_blendv_ps(if_false, if_true, which); }
inline F abs(F a) { return as_float(bit_and(as_int(a), set1_i(0x7fffffff))); }

// The sum and the largest of the lanes, by halves: l with l + 4, then + 2, + 1.
inline float reduce_add(F v) {
  const __m128 v4 = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 v2 = _mm_add_ps(v4, _mm_movehl_ps(v4, v4));
  return _mm_cvtss_f32(_mm_add_ss(v2, _mm_movehdup_ps(v2)));
}
inline float reduce_max(F v) {
  const __m128 v4 = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 v2 = _mm_max_ps(v4, _mm_movehl_ps(v4, v4));
  return _mm_cvtss_f32(_mm_max_ss(v2, _mm_movehdup_ps(v2)));
}

// Narrow formats, exactly as floats. AVX2 has no masked loads of 16 or 8 bits: a tail goes through 16 bytes of stack.
inline __m128i load_bytes(const void* p, int64_t n_bytes) {  // 0 < n_bytes < 16
  alignas(16) unsigned char bytes[16] = {};
  __builtin_memcpy(bytes, p, static_cast<size_t>(n_bytes));
  return _mm_load_si128(reinterpret_cast<const __m128i*>(bytes));
}
inline F bf16_bits(__m128i bits) { return as_float(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16)); }
inline F load_bf16(const void* p) { return bf16_bits(_mm_loadu_si128(static_cast<const __m128i*>(p))); }
inline F load_bf16_first(const void* p, int64_t n) { return bf16_bits(load_bytes(p, 2 * n)); }
inline F load_f16(const void* p) { return _mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(p))); }
inline F load_f16_first(const void* p, int64_t n) { return _mm256_cvtph_ps(load_bytes(p, 2 * n)); }

// E4M3 comes 8 bytes at a time, as halves of 2^-8 of the value (subnormals of E4M3 are normal or exact there).
constexpr int kE4m3Step = 8;

inline void widen_e4m3(__m128i codes, F out[1]) {
  const __m128i words = _mm_slli_epi16(_mm_cvtepi8_epi16(codes), 7);  // sign in bits 15 and 14
  __m128i halves = _mm_and_si128(words, _mm_set1_epi16(static_cast<int16_t>(0xbf80)));
  const __m128i nan = _mm_set1_epi16(0x3f80);
  const __m128i is_nan_code = _mm_cmpeq_epi16(_mm_and_si128(halves, nan), nan);
  halves = _mm_or_si128(halves, _mm_and_si128(is_nan_code, _mm_set1_epi16(0x7e00)));
  out[0] = mul(_mm256_cvtph_ps(halves), set1(256.0f));
}
inline void load_e4m3(const void* p, F out[1]) { widen_e4m3(_mm_loadl_epi64(static_cast<const __m128i*>(p)), out); }
inline void load_e4m3_first(const void* p, int64_t n, F out[1]) { widen_e4m3(load_bytes(p, n), out); }  // 0 < n < 8

}  // namespace
}  // namespace fathom::avx2
