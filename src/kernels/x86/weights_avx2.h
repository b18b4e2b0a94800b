// The element types of weights as vectors of 8 floats, exact for every code, and the rounding to
// E4M3. A Weight* type widens kStep elements at once into kStep / kLanes vectors; widen_first reads
// only the first n (0 < n < kStep) and gives zeros for the rest.
#pragma once

#include "kernels/x86/vec_avx2.h"

namespace fathom::avx2 {
namespace {

// AVX2 has no masked loads of 16 or 8 bits: tails go through 16 bytes of stack.
FATHOM_INLINE __m128i load_bytes(const char* p, int64_t n_bytes) {
  alignas(16) unsigned char bytes[16] = {};
  for (int64_t i = 0; i < n_bytes; ++i) bytes[i] = static_cast<unsigned char>(p[i]);
  return _mm_load_si128(reinterpret_cast<const __m128i*>(bytes));
}

struct WeightF32 {
  static constexpr int64_t kStep = kLanes;
  static constexpr int64_t kBytes = 4;
  FATHOM_INLINE void widen(const char* p, F32* out) {
    out[0] = load(reinterpret_cast<const float*>(p));
  }
  FATHOM_INLINE void widen_first(const char* p, int64_t n, F32* out) {
    out[0] = load(reinterpret_cast<const float*>(p), first_lanes(n));
  }
};

struct WeightF16 {
  static constexpr int64_t kStep = kLanes;
  static constexpr int64_t kBytes = 2;
  FATHOM_INLINE void widen(const char* p, F32* out) {
    out[0] = _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  FATHOM_INLINE void widen_first(const char* p, int64_t n, F32* out) {
    out[0] = _mm256_cvtph_ps(load_bytes(p, 2 * n));
  }
};

struct WeightBf16 {
  static constexpr int64_t kStep = kLanes;
  static constexpr int64_t kBytes = 2;
  FATHOM_INLINE F32 from_bits(__m128i bits) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
  FATHOM_INLINE void widen(const char* p, F32* out) {
    out[0] = from_bits(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  FATHOM_INLINE void widen_first(const char* p, int64_t n, F32* out) {
    out[0] = from_bits(load_bytes(p, 2 * n));
  }
};

// By way of F16, which holds every E4M3 value times 2^-8 and whose subnormals the conversion
// handles at full speed.
struct WeightE4m3 {
  static constexpr int64_t kStep = kLanes;
  static constexpr int64_t kBytes = 1;
  FATHOM_INLINE F32 from_codes(__m128i codes) {
    const __m128i words =
        _mm_slli_epi16(_mm_cvtepi8_epi16(codes), 7);  // the sign in bits 15 and 14
    __m128i halves = _mm_and_si128(words, _mm_set1_epi16(static_cast<int16_t>(0xbf80)));
    const __m128i last = _mm_set1_epi16(0x3f80);
    const __m128i nan = _mm_cmpeq_epi16(_mm_and_si128(halves, last), last);
    halves = _mm_or_si128(halves, _mm_and_si128(nan, _mm_set1_epi16(0x7e00)));
    return mul(_mm256_cvtph_ps(halves), set1(256.0f));
  }
  FATHOM_INLINE void widen(const char* p, F32* out) {
    out[0] = from_codes(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  }
  FATHOM_INLINE void widen_first(const char* p, int64_t n, F32* out) {
    out[0] = from_codes(load_bytes(p, n));
  }
};

// out[i] = reduce_add(v[i]), the same sums: halves of 4, 2, 1, four vectors at once.
FATHOM_INLINE void reduce_add4(const F32* v, float* out) {
  const F32 ab =
      add(_mm256_permute2f128_ps(v[0], v[1], 0x20), _mm256_permute2f128_ps(v[0], v[1], 0x31));
  const F32 cd =
      add(_mm256_permute2f128_ps(v[2], v[3], 0x20), _mm256_permute2f128_ps(v[2], v[3], 0x31));
  // a0+a2 c0+c2 a1+a3 c1+c3 | b0+b2 d0+d2 b1+b3 d1+d3
  const F32 pairs = add(_mm256_unpacklo_ps(ab, cd), _mm256_unpackhi_ps(ab, cd));
  const F32 sums = add(pairs, _mm256_permute_ps(pairs, 0x0e));  // a c . . | b d . .
  _mm_storeu_ps(out, _mm_unpacklo_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps(sums, 1)));
}

FATHOM_INLINE F32 abs(F32 v) { return _mm256_andnot_ps(set1(-0.0f), v); }

// The E4M3 value nearest to v as a float, ties to even, saturated at 448, NaN stays NaN: as
// f32_to_e4m3.
FATHOM_INLINE F32 round_e4m3(F32 v) {
  const F32 sign = _mm256_and_ps(v, set1(-0.0f));
  const F32 magnitude = abs(v);
  // From 2^-6 on, three bits of mantissa; below, multiples of 2^-9, to which adding 2^14 aligns the
  // last bit.
  const __m256i bits = _mm256_castps_si256(magnitude);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 20), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7ffff)), odd);
  const __m256i cut = _mm256_and_si256(rounded, _mm256_set1_epi32(static_cast<int>(0xfff00000u)));
  const F32 normal = _mm256_min_ps(_mm256_castsi256_ps(cut), set1(448.0f));
  const F32 tiny = sub(add(magnitude, set1(0x1p14f)), set1(0x1p14f));
  F32 result = _mm256_blendv_ps(normal, tiny, _mm256_cmp_ps(magnitude, set1(0x1p-6f), _CMP_LT_OQ));
  const F32 nan = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fc00000));
  result = _mm256_blendv_ps(result, nan, _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
  return _mm256_or_ps(result, sign);
}

// The codes of values that E4M3 has.
FATHOM_INLINE void store_e4m3(uint8_t* p, F32 v, Mask m) {
  const __m256i bits = _mm256_castps_si256(v);
  const __m256i magnitude = _mm256_and_si256(bits, _mm256_set1_epi32(0x7fffffff));
  const __m256i normal = _mm256_sub_epi32(_mm256_srli_epi32(magnitude, 20), _mm256_set1_epi32(960));
  const __m256i tiny = _mm256_cvttps_epi32(mul(abs(v), set1(512.0f)));  // multiples of 2^-9
  const __m256i is_tiny = _mm256_cmpgt_epi32(_mm256_set1_epi32(0x3c800000), magnitude);
  const __m256i is_nan = _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(0x7f800000));
  __m256i code = _mm256_blendv_epi8(normal, tiny, is_tiny);
  code = _mm256_blendv_epi8(code, _mm256_set1_epi32(0x7f), is_nan);
  code =
      _mm256_or_si256(code, _mm256_and_si256(_mm256_srli_epi32(bits, 24), _mm256_set1_epi32(0x80)));
  alignas(32) int32_t lanes[8];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), code);
  const int64_t n = lanes_of(m);
  for (int64_t i = 0; i < n; ++i) p[i] = static_cast<uint8_t>(lanes[i]);
}

}  // namespace
}  // namespace fathom::avx2
