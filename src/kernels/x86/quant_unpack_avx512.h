// Integer weights as lines of a panel (simd/quant_panel.h), for AVX-512. Packed files hold such
// lines; rows of GGUF blocks are transposed in registers, as 4-byte units.
#pragma once

#include "kernels/x86/quant_transpose_avx512.h"

namespace fathom::avx512 {
namespace {

// Each front end: chunk `index` (128 columns) of a panel, of which `columns` (whole groups) are
// there.
struct UnpackInt8 {
  static constexpr QuantType kType = QuantType::kInt8;
  FATHOM_INLINE QuantView unpack(const QuantPanel& panel, int64_t index, int64_t, QuantScratch&) {
    constexpr int64_t kBytes = quant_format(kType).block_bytes;
    const uint8_t* block = panel.first + index * kBytes;
    if (panel.ahead > 0) prefetch_packed(block + panel.ahead, kBytes);
    return {block + 64, reinterpret_cast<const float*>(block), nullptr};
  }
};

struct UnpackInt4 {
  static constexpr QuantType kType = QuantType::kInt4;
  FATHOM_INLINE QuantView unpack(const QuantPanel& panel, int64_t index, int64_t columns,
                                 QuantScratch& out) {
    constexpr int64_t kBytes = quant_format(kType).block_bytes;
    for (int64_t b = 0; b * 64 < columns; ++b) {
      const uint8_t* block = panel.first + (2 * index + b) * kBytes;
      if (panel.ahead > 0) prefetch_packed(block + panel.ahead, kBytes);
      const auto halves = [&](int64_t at) __attribute__((always_inline)) {
        return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(block + at)));
      };
      _mm512_store_ps(out.scales[b], halves(0));
      _mm512_store_ps(out.minima[b], halves(32));
      FATHOM_UNROLL for (int j = 0; j < 8; ++j) {
        const __m512i v = _mm512_loadu_si512(block + 64 + 64 * j);
        store_line(out.lines[16 * b + j], nibbles_low(v));
        store_line(out.lines[16 * b + 8 + j], nibbles_high(v));
      }
    }
    return out.view();
  }
};

struct UnpackQ8_0 {
  static constexpr QuantType kType = QuantType::kQ8_0;
  FATHOM_INLINE QuantView unpack(const QuantPanel& panel, int64_t index, int64_t columns,
                                 QuantScratch& out) {
    const __m512i sign = _mm512_set1_epi8(-128);  // q + 128
    const int64_t at = index * 4 * 34;
    prefetch_lanes(panel, at, 4 * 34);
    for (int64_t b = 0; b * 32 < columns; ++b) {
      _mm512_store_ps(out.scales[b], f16_of_units(gather_units(panel, at + b * 34)));
      __m512i lines[8];
      transpose_32(panel, at + b * 34 + 2, lines);
      FATHOM_UNROLL for (int j = 0; j < 8; ++j)
          store_line(out.lines[8 * b + j], _mm512_xor_si512(lines[j], sign));
    }
    return out.view();
  }
};

// Line j of a block with bit 4 set where the lane's bits 4 j .. 4 j + 3 say so.
FATHOM_INLINE __m512i with_fifth(__m512i line, __m512i bits, int j) {
  // Of each unit the byte that holds the four bits, four times; then one of them in each.
  const __m512i from = _mm512_set4_epi32(0x0c0c0c0c, 0x08080808, 0x04040404, 0);
  const __m512i byte = _mm512_shuffle_epi8(bits, _mm512_add_epi8(from, _mm512_set1_epi8(j / 2)));
  const __mmask64 set =
      _mm512_test_epi8_mask(byte, _mm512_set1_epi32(j % 2 == 0 ? 0x08040201 : 0x80402010));
  return _mm512_mask_add_epi8(line, set, line, _mm512_set1_epi8(16));
}

// Q4_0 and its kin.
template <QuantType kSmallType>
struct UnpackSmall {
  static constexpr QuantType kType = kSmallType;
  FATHOM_INLINE QuantView unpack(const QuantPanel& panel, int64_t index, int64_t columns,
                                 QuantScratch& out) {
    constexpr SmallBlock kPlaces = small_block(kType);
    constexpr int64_t kBytes = quant_format(kType).block_bytes;
    prefetch_lanes(panel, index * 4 * kBytes, 4 * kBytes);
    for (int64_t b = 0; b * 32 < columns; ++b) {
      const int64_t at = (index * 4 + b) * kBytes;
      const __m512i head = gather_units(panel, at);
      _mm512_store_ps(out.scales[b], f16_of_units(head));
      if constexpr (quant_format(kType).has_minimum) {  // stored to be added
        const __m512i sign = _mm512_set1_epi32(0x8000);
        _mm512_store_ps(out.minima[b],
                        f16_of_units(_mm512_xor_si512(_mm512_srli_epi32(head, 16), sign)));
      }
      __m512i lines[4];
      transpose_16(panel, at + kPlaces.codes, lines);
      __m512i fifth = _mm512_setzero_si512();
      if constexpr (kPlaces.fifth > 0) fifth = gather_units(panel, at + kPlaces.fifth);
      FATHOM_UNROLL for (int j = 0; j < 4; ++j) {
        __m512i low = nibbles_low(lines[j]), high = nibbles_high(lines[j]);
        if constexpr (kPlaces.fifth > 0) {
          low = with_fifth(low, fifth, j);
          high = with_fifth(high, fifth, 4 + j);
        }
        store_line(out.lines[8 * b + j], low);
        store_line(out.lines[8 * b + 4 + j], high);
      }
    }
    return out.view();
  }
};

// Scales and minima of groups 4 half .. 4 half + 3 of blocks of 256 that start at `at`.
FATHOM_INLINE void unpack_k_scales(const QuantPanel& panel, int64_t at, int64_t half,
                                   QuantScratch& out) {
  __m512i head[4];
  transpose_16(panel, at, head);
  const __m512i d = head[0];
  __m512i scales = _mm512_and_si512(head[1], _mm512_set1_epi8(63));
  __m512i minima = _mm512_and_si512(head[2], _mm512_set1_epi8(63));
  if (half != 0) {
    const __m512i bits = _mm512_set1_epi8(0x30);
    scales = _mm512_or_si512(nibbles_low(head[3]),
                             _mm512_and_si512(_mm512_srli_epi32(head[1], 2), bits));
    minima = _mm512_or_si512(nibbles_high(head[3]),
                             _mm512_and_si512(_mm512_srli_epi32(head[2], 2), bits));
  }
  const F32 scale = f16_of_units(d);
  const F32 minimum = f16_of_units(_mm512_srli_epi32(d, 16));
  const __m512i byte = _mm512_set1_epi32(255);
  FATHOM_UNROLL for (int j = 0; j < 4; ++j) {
    const __m512i s = _mm512_and_si512(_mm512_srli_epi32(scales, 8 * j), byte);
    const __m512i m = _mm512_and_si512(_mm512_srli_epi32(minima, 8 * j), byte);
    _mm512_store_ps(out.scales[j], mul(scale, _mm512_cvtepi32_ps(s)));
    _mm512_store_ps(out.minima[j], mul(minimum, _mm512_cvtepi32_ps(m)));
  }
}

struct UnpackQ4K {
  static constexpr QuantType kType = QuantType::kQ4_K;
  FATHOM_INLINE QuantView unpack(const QuantPanel& panel, int64_t index, int64_t,
                                 QuantScratch& out) {
    const int64_t block = index / 2 * 144, half = index % 2;
    const int64_t at = block + 16 + 64 * half;
    unpack_k_scales(panel, block, half, out);
    prefetch_rows(panel, index, 72);
    FATHOM_UNROLL for (int pair = 0; pair < 2; ++pair) {
      __m512i lines[8];
      transpose_32(panel, at + 32 * pair, lines);
      FATHOM_UNROLL for (int j = 0; j < 8; ++j) {
        store_line(out.lines[16 * pair + j], nibbles_low(lines[j]));
        store_line(out.lines[16 * pair + 8 + j], nibbles_high(lines[j]));
      }
    }
    return out.view();
  }
};

struct UnpackQ5K {
  static constexpr QuantType kType = QuantType::kQ5_K;
  FATHOM_INLINE QuantView unpack(const QuantPanel& panel, int64_t index, int64_t,
                                 QuantScratch& out) {
    const int64_t block = index / 2 * 176, half = index % 2;
    const int64_t at = block + 48 + 64 * half;
    unpack_k_scales(panel, block, half, out);
    prefetch_rows(panel, index, 88);
    __m512i fifth[8];  // bit j of a byte: of group j
    transpose_32(panel, block + 16, fifth);
    const __m512i bit = _mm512_set1_epi8(16);
    const __m128i shift = _mm_cvtsi32_si128(static_cast<int>(4 * half));
    FATHOM_UNROLL for (int pair = 0; pair < 2; ++pair) {
      __m512i lines[8];
      transpose_32(panel, at + 32 * pair, lines);
      FATHOM_UNROLL for (int j = 0; j < 8; ++j) {
        // Bits 2 pair and 2 pair + 1 of this half, moved to bit 4.
        const __m512i here = _mm512_srl_epi16(fifth[j], shift);
        const __m512i even = pair == 0 ? _mm512_slli_epi16(here, 4) : _mm512_slli_epi16(here, 2);
        const __m512i odd = pair == 0 ? _mm512_slli_epi16(here, 3) : _mm512_slli_epi16(here, 1);
        store_line(out.lines[16 * pair + j],
                   _mm512_or_si512(nibbles_low(lines[j]), _mm512_and_si512(even, bit)));
        store_line(out.lines[16 * pair + 8 + j],
                   _mm512_or_si512(nibbles_high(lines[j]), _mm512_and_si512(odd, bit)));
      }
    }
    return out.view();
  }
};

struct UnpackQ6K {
  static constexpr QuantType kType = QuantType::kQ6_K;
  FATHOM_INLINE void unpack_scales(const QuantPanel& panel, int64_t block, int64_t half,
                                   QuantScratch& out) {
    const F32 d = f16_of_units(_mm512_srli_epi32(gather_units(panel, block + 206), 16));
    FATHOM_UNROLL for (int four = 0; four < 2; ++four) {
      const __m512i s = gather_units(panel, block + 192 + 8 * half + 4 * four);
      FATHOM_UNROLL for (int j = 0; j < 4; ++j) {
        const __m512i signed_byte = _mm512_srai_epi32(_mm512_slli_epi32(s, 24 - 8 * j), 24);
        _mm512_store_ps(out.scales[4 * four + j], mul(d, _mm512_cvtepi32_ps(signed_byte)));
      }
    }
  }
  FATHOM_INLINE QuantView unpack(const QuantPanel& panel, int64_t index, int64_t,
                                 QuantScratch& out) {
    const int64_t block = index / 2 * 210, half = index % 2;
    unpack_scales(panel, block, half, out);
    prefetch_lanes(panel, block + 105 * half, 105);
    __m512i upper[8];  // two bits each of columns l, 32 + l, 64 + l, 96 + l
    transpose_32(panel, block + 128 + 32 * half, upper);
    const __m512i bits = _mm512_set1_epi8(0x30);
    FATHOM_UNROLL for (int part = 0; part < 2; ++part) {
      __m512i lines[8];
      transpose_32(panel, block + 64 * half + 32 * part, lines);
      FATHOM_UNROLL for (int j = 0; j < 8; ++j) {
        const __m512i u = upper[j];
        const __m512i first = part == 0 ? _mm512_slli_epi16(u, 4) : _mm512_slli_epi16(u, 2);
        const __m512i second = part == 0 ? u : _mm512_srli_epi16(u, 2);
        store_line(out.lines[8 * part + j],
                   _mm512_or_si512(nibbles_low(lines[j]), _mm512_and_si512(first, bits)));
        store_line(out.lines[16 + 8 * part + j],
                   _mm512_or_si512(nibbles_high(lines[j]), _mm512_and_si512(second, bits)));
      }
    }
    return out.view();
  }
};

}  // namespace
}  // namespace fathom::avx512

#include "kernels/simd/quant_unpackers.h"
