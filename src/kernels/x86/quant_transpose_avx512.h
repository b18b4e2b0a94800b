// Bytes of 16 rows of a weight beside each other, for AVX-512: equal places of all rows become one
// line of 16 units of 4 bytes.
#pragma once

#include "kernels/x86/vec_avx512.h"

// Written against the names above.
#include "kernels/simd/quant_panel.h"

namespace fathom::avx512 {
namespace {

FATHOM_INLINE __m512i load_offsets(const QuantPanel& panel) {
  return _mm512_load_si512(panel.offsets);
}
FATHOM_INLINE void store_line(uint8_t* line, __m512i v) { _mm512_store_si512(line, v); }
FATHOM_INLINE __m512i nibbles_low(__m512i v) { return _mm512_and_si512(v, _mm512_set1_epi8(15)); }
FATHOM_INLINE __m512i nibbles_high(__m512i v) {
  return _mm512_and_si512(_mm512_srli_epi16(v, 4), _mm512_set1_epi8(15));
}
// F16 in the low half of every unit of 32 bits.
FATHOM_INLINE F32 f16_of_units(__m512i v) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(v)); }
// Four bytes of every lane, `at` bytes from its start.
FATHOM_INLINE __m512i gather_units(const QuantPanel& panel, int64_t at) {
  return _mm512_i32gather_epi32(load_offsets(panel), panel.first + at, 1);
}

// Bytes at .. at + 15 of every lane as 4 lines of 4 bytes a lane.
FATHOM_INLINE void transpose_16(const QuantPanel& panel, int64_t at, __m512i* lines) {
  const uint8_t* p = panel.first + at;
  const auto load16 = [&](int lane) __attribute__((always_inline)) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + panel.offsets[lane]));
  };
  __m512i t[4];
  FATHOM_UNROLL for (int i = 0; i < 4; ++i) {  // quarter q: lane 4 q + i
    __m512i v = _mm512_castsi128_si512(load16(i));
    v = _mm512_inserti32x4(v, load16(4 + i), 1);
    v = _mm512_inserti32x4(v, load16(8 + i), 2);
    t[i] = _mm512_inserti32x4(v, load16(12 + i), 3);
  }
  const __m512i a = _mm512_unpacklo_epi32(t[0], t[1]);
  const __m512i b = _mm512_unpackhi_epi32(t[0], t[1]);
  const __m512i c = _mm512_unpacklo_epi32(t[2], t[3]);
  const __m512i d = _mm512_unpackhi_epi32(t[2], t[3]);
  lines[0] = _mm512_unpacklo_epi64(a, c);
  lines[1] = _mm512_unpackhi_epi64(a, c);
  lines[2] = _mm512_unpacklo_epi64(b, d);
  lines[3] = _mm512_unpackhi_epi64(b, d);
}

// Bytes at .. at + 31 of every lane as 8 lines.
FATHOM_INLINE void transpose_32(const QuantPanel& panel, int64_t at, __m512i* lines) {
  const uint8_t* p = panel.first + at;
  const auto load32 = [&](int lane) __attribute__((always_inline)) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + panel.offsets[lane]));
  };
  __m512i t[8];
  FATHOM_UNROLL for (int i = 0; i < 8; ++i) {  // half h: lane 8 h + i
    t[i] = _mm512_inserti64x4(_mm512_castsi256_si512(load32(i)), load32(8 + i), 1);
  }
  __m512i u[8];
  FATHOM_UNROLL for (int i = 0; i < 8; i += 4) {
    const __m512i a = _mm512_unpacklo_epi32(t[i], t[i + 1]);
    const __m512i b = _mm512_unpackhi_epi32(t[i], t[i + 1]);
    const __m512i c = _mm512_unpacklo_epi32(t[i + 2], t[i + 3]);
    const __m512i d = _mm512_unpackhi_epi32(t[i + 2], t[i + 3]);
    u[i] = _mm512_unpacklo_epi64(a, c);
    u[i + 1] = _mm512_unpackhi_epi64(a, c);
    u[i + 2] = _mm512_unpacklo_epi64(b, d);
    u[i + 3] = _mm512_unpackhi_epi64(b, d);
  }
  // Quarter 2 h + q of u[i + c] is unit 4 q + c of lanes 8 h + i .. 8 h + i + 3.
  const __m512i low = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
  const __m512i high = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
  FATHOM_UNROLL for (int c = 0; c < 4; ++c) {
    lines[c] = _mm512_permutex2var_epi64(u[c], low, u[4 + c]);
    lines[4 + c] = _mm512_permutex2var_epi64(u[c], high, u[4 + c]);
  }
}

// What will be wanted in the next 16 rows: the same bytes of every lane, or a chunk's share in the
// order in which the rows lie. Which is faster was measured (one row of x, one core that reads 16
// GB/s): lanes give 13.1 (Q8_0), 10.7 (Q4_0), 11.9 (Q6_K), 9.1 (Q4_K), 8.1 GB/s (Q5_K); rows 10.9,
// 9.6, 10.9, 9.9, 10.0.
FATHOM_INLINE void prefetch_lanes(const QuantPanel& panel, int64_t at, int64_t bytes) {
  const uint8_t* p = panel.first + at + panel.ahead;
  for (int64_t line = 0; line < bytes; line += 64) {
    FATHOM_UNROLL for (int l = 0; l < 16; ++l)
        _mm_prefetch(p + panel.offsets[l] + line, _MM_HINT_T1);
  }
}
FATHOM_INLINE void prefetch_rows(const QuantPanel& panel, int64_t index, int64_t row_bytes) {
  const int64_t bytes = kPanelWidth * row_bytes;
  const uint8_t* p = panel.first + panel.ahead + index * bytes;
  for (int64_t line = 0; line < bytes; line += 64) _mm_prefetch(p + line, _MM_HINT_T1);
}
FATHOM_INLINE void prefetch_packed(const uint8_t* p, int64_t bytes) {
  for (int64_t line = 0; line < bytes; line += 64) _mm_prefetch(p + line, _MM_HINT_T0);
}

}  // namespace
}  // namespace fathom::avx512
