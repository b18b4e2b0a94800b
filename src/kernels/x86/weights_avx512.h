// The element types of weights as vectors of 16 floats, exact for every code, and the rounding to
// E4M3. A Weight* type widens kStep elements at once into kStep / kLanes vectors; widen_first reads
// only the first n (0 < n < kStep) and gives zeros for the rest.
#pragma once

#include "kernels/x86/vec_avx512.h"

namespace fathom::avx512 {
namespace {

struct WeightF32 {
  static constexpr int64_t kStep = kLanes;
  static constexpr int64_t kBytes = 4;
  FATHOM_INLINE void widen(const char* p, F32* out) { out[0] = _mm512_loadu_ps(p); }
  FATHOM_INLINE void widen_first(const char* p, int64_t n, F32* out) {
    out[0] = _mm512_maskz_loadu_ps(first_lanes(n), p);
  }
};

struct WeightF16 {
  static constexpr int64_t kStep = kLanes;
  static constexpr int64_t kBytes = 2;
  FATHOM_INLINE void widen(const char* p, F32* out) {
    out[0] = _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  FATHOM_INLINE void widen_first(const char* p, int64_t n, F32* out) {
    out[0] = _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(n), p));
  }
};

struct WeightBf16 {
  static constexpr int64_t kStep = kLanes;
  static constexpr int64_t kBytes = 2;
  FATHOM_INLINE F32 from_bits(__m256i bits) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  FATHOM_INLINE void widen(const char* p, F32* out) {
    out[0] = from_bits(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  FATHOM_INLINE void widen_first(const char* p, int64_t n, F32* out) {
    out[0] = from_bits(_mm256_maskz_loadu_epi16(first_lanes(n), p));
  }
};

// The two bytes of a BF16 for the 128 magnitudes of E4M3, subnormals and NaN included.
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

// The lower and upper bytes of 64 codes as BF16.
FATHOM_INLINE void e4m3_bytes(__m512i codes, __m512i* low, __m512i* high) {
  *low = _mm512_permutex2var_epi8(_mm512_load_si512(kE4m3Tables.low), codes,
                                  _mm512_load_si512(kE4m3Tables.low + 64));
  *high = _mm512_permutex2var_epi8(_mm512_load_si512(kE4m3Tables.high), codes,
                                   _mm512_load_si512(kE4m3Tables.high + 64));
  // high | (codes & 0x80): the sign.
  *high = _mm512_ternarylogic_epi32(*high, codes, _mm512_set1_epi32(static_cast<int>(0x80808080u)),
                                    0xf8);
}

struct WeightE4m3 {
  static constexpr int64_t kStep = 64;
  static constexpr int64_t kBytes = 1;
  FATHOM_INLINE void from_codes(__m512i codes, F32* out) {
    // Dwords 4i + j move to 4j + i, so that unpacking within lanes of 128 bits ends in ascending
    // order.
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    codes = _mm512_permutexvar_epi32(order, codes);
    __m512i low, high;
    e4m3_bytes(codes, &low, &high);
    const __m512i first = _mm512_unpacklo_epi8(low, high);
    const __m512i second = _mm512_unpackhi_epi8(low, high);
    const __m512i none = _mm512_setzero_si512();
    out[0] = _mm512_castsi512_ps(_mm512_unpacklo_epi16(none, first));
    out[1] = _mm512_castsi512_ps(_mm512_unpackhi_epi16(none, first));
    out[2] = _mm512_castsi512_ps(_mm512_unpacklo_epi16(none, second));
    out[3] = _mm512_castsi512_ps(_mm512_unpackhi_epi16(none, second));
  }
  FATHOM_INLINE void widen(const char* p, F32* out) { from_codes(_mm512_loadu_si512(p), out); }
  FATHOM_INLINE void widen_first(const char* p, int64_t n, F32* out) {
    from_codes(_mm512_maskz_loadu_epi8((uint64_t{1} << n) - 1, p), out);
  }
};

// Elements as pairs of BF16, one pair in each lane, for inputs that are pairs too: k = 2 l and
// 2 l + 1 in lane l of a vector.
struct PairsBf16 {
  static constexpr int64_t kStep = 2 * kLanes;
  static constexpr int64_t kBytes = 2;
  FATHOM_INLINE void widen(const char* p, F32* out) { out[0] = _mm512_loadu_ps(p); }
  FATHOM_INLINE void widen_first(const char* p, int64_t n, F32* out) {
    out[0] = _mm512_castsi512_ps(_mm512_maskz_loadu_epi16((uint32_t{1} << n) - 1, p));
  }
};

struct PairsE4m3 {
  static constexpr int64_t kStep = 4 * kLanes;
  static constexpr int64_t kBytes = 1;
  FATHOM_INLINE void from_codes(__m512i codes, F32* out) {
    // Quads of bytes move so that unpacking within lanes of 128 bits ends in ascending order.
    codes = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7), codes);
    __m512i low, high;
    e4m3_bytes(codes, &low, &high);
    out[0] = _mm512_castsi512_ps(_mm512_unpacklo_epi8(low, high));
    out[1] = _mm512_castsi512_ps(_mm512_unpackhi_epi8(low, high));
  }
  FATHOM_INLINE void widen(const char* p, F32* out) { from_codes(_mm512_loadu_si512(p), out); }
  FATHOM_INLINE void widen_first(const char* p, int64_t n, F32* out) {
    from_codes(_mm512_maskz_loadu_epi8((uint64_t{1} << n) - 1, p), out);
  }
};

// Sixteen values that BF16 has.
FATHOM_INLINE void store_exact_bf16(uint16_t* to, F32 values) {
  const __m512i high = _mm512_srli_epi32(_mm512_castps_si512(values), 16);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi32_epi16(high));
}

// out[i] = reduce_add(v[i]), the same sums: halves of 8, 4, 2, 1, four vectors at once.
FATHOM_INLINE void reduce_add4(const F32* v, float* out) {
  const F32 ab =
      add(_mm512_shuffle_f32x4(v[0], v[1], 0x44), _mm512_shuffle_f32x4(v[0], v[1], 0xee));
  const F32 cd =
      add(_mm512_shuffle_f32x4(v[2], v[3], 0x44), _mm512_shuffle_f32x4(v[2], v[3], 0xee));
  // A quarter of 4 floats for each vector.
  F32 sums = add(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
  sums = add(sums, _mm512_permute_ps(sums, 0x0e));
  sums = add(sums, _mm512_permute_ps(sums, 0x01));
  const __m512i firsts = _mm512_setr_epi32(0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12);
  _mm_storeu_ps(out, _mm512_castps512_ps128(_mm512_permutexvar_ps(firsts, sums)));
}

FATHOM_INLINE F32 abs(F32 v) { return _mm512_abs_ps(v); }

// The E4M3 value nearest to v as a float, ties to even, saturated at 448, NaN stays NaN: as
// f32_to_e4m3.
FATHOM_INLINE F32 round_e4m3(F32 v) {
  const __m512i sign =
      _mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32(static_cast<int>(0x80000000u)));
  const F32 magnitude = abs(v);
  // From 2^-6 on, three bits of mantissa; below, multiples of 2^-9, to which adding 2^14 aligns the
  // last bit.
  const __m512i bits = _mm512_castps_si512(magnitude);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 20), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7ffff)), odd);
  const __m512i cut = _mm512_and_si512(rounded, _mm512_set1_epi32(static_cast<int>(0xfff00000u)));
  const F32 normal = _mm512_min_ps(_mm512_castsi512_ps(cut), set1(448.0f));
  const F32 tiny = sub(add(magnitude, set1(0x1p14f)), set1(0x1p14f));
  F32 result = select(_mm512_cmp_ps_mask(magnitude, set1(0x1p-6f), _CMP_LT_OQ), tiny, normal);
  result = select(_mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q),
                  _mm512_castsi512_ps(_mm512_set1_epi32(0x7fc00000)), result);
  return _mm512_castsi512_ps(_mm512_or_si512(_mm512_castps_si512(result), sign));
}

// The codes of values that E4M3 has.
FATHOM_INLINE void store_e4m3(uint8_t* p, F32 v, Mask m) {
  const __m512i bits = _mm512_castps_si512(v);
  const __m512i magnitude = _mm512_and_si512(bits, _mm512_set1_epi32(0x7fffffff));
  const __m512i normal = _mm512_sub_epi32(_mm512_srli_epi32(magnitude, 20), _mm512_set1_epi32(960));
  const __m512i tiny = _mm512_cvttps_epi32(mul(abs(v), set1(512.0f)));  // multiples of 2^-9
  const Mask is_tiny = _mm512_cmplt_epi32_mask(magnitude, _mm512_set1_epi32(0x3c800000));
  const Mask is_nan = _mm512_cmpgt_epi32_mask(magnitude, _mm512_set1_epi32(0x7f800000));
  __m512i code = _mm512_mask_mov_epi32(normal, is_tiny, tiny);
  code = _mm512_mask_mov_epi32(code, is_nan, _mm512_set1_epi32(0x7f));
  code =
      _mm512_or_si512(code, _mm512_and_si512(_mm512_srli_epi32(bits, 24), _mm512_set1_epi32(0x80)));
  _mm_mask_storeu_epi8(p, m, _mm512_cvtepi32_epi8(code));
}

}  // namespace
}  // namespace fathom::avx512
