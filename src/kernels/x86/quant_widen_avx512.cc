// Integer weights as F32 for AVX-512, sixteen rows at a time: the lines of a panel hold four
// columns of sixteen rows each, so that codes become values column by column, and squares of
// sixteen by sixteen are turned into rows.
#include "kernels/x86/quant_unpack_avx512.h"

namespace fathom::avx512 {
namespace {

constexpr int kSquare = 16;

// square[i] has the rows' values of column i; afterwards the columns' of row i.
FATHOM_INLINE void turn(F32 (&square)[kSquare]) {
  F32 pairs[kSquare];
  FATHOM_UNROLL for (int i = 0; i < kSquare; i += 2) {
    pairs[i] = _mm512_unpacklo_ps(square[i], square[i + 1]);
    pairs[i + 1] = _mm512_unpackhi_ps(square[i], square[i + 1]);
  }
  // Quarter q of fours[i + j]: columns i .. i + 3 of row 4 q + j.
  F32 fours[kSquare];
  const auto join = [](F32 a, F32 b, bool high) __attribute__((always_inline)) {
    const __m512d x = _mm512_castps_pd(a), y = _mm512_castps_pd(b);
    return _mm512_castpd_ps(high ? _mm512_unpackhi_pd(x, y) : _mm512_unpacklo_pd(x, y));
  };
  FATHOM_UNROLL for (int i = 0; i < kSquare; i += 4) {
    FATHOM_UNROLL for (int j = 0; j < 4; ++j) fours[i + j] =
        join(pairs[i + j / 2], pairs[i + 2 + j / 2], j % 2 == 1);
  }
  constexpr int kEven = 0x88, kOdd = 0xdd;  // quarters 0 and 2 of both, 1 and 3 of both
  FATHOM_UNROLL for (int j = 0; j < 4; ++j) {
    const F32 low_even = _mm512_shuffle_f32x4(fours[j], fours[4 + j], kEven);
    const F32 low_odd = _mm512_shuffle_f32x4(fours[j], fours[4 + j], kOdd);
    const F32 high_even = _mm512_shuffle_f32x4(fours[8 + j], fours[12 + j], kEven);
    const F32 high_odd = _mm512_shuffle_f32x4(fours[8 + j], fours[12 + j], kOdd);
    square[j] = _mm512_shuffle_f32x4(low_even, high_even, kEven);
    square[4 + j] = _mm512_shuffle_f32x4(low_odd, high_odd, kEven);
    square[8 + j] = _mm512_shuffle_f32x4(low_even, high_even, kOdd);
    square[12 + j] = _mm512_shuffle_f32x4(low_odd, high_odd, kOdd);
  }
}

// Values of one line: of four columns, a vector of sixteen rows each.
template <class U>
FATHOM_INLINE void values_of_line(const QuantView& view, int64_t line, F32* out) {
  constexpr QuantFormat kFormat = quant_format(U::kType);
  const int64_t group = line * 4 / kFormat.group;
  const __m512i codes = _mm512_loadu_si512(view.lines + 64 * line);
  const F32 scale = load(view.scales + group * kPanelWidth);
  FATHOM_UNROLL for (int j = 0; j < 4; ++j) {
    const __m512i u = _mm512_and_si512(_mm512_srli_epi32(codes, 8 * j), _mm512_set1_epi32(255));
    const __m512i code = _mm512_sub_epi32(u, _mm512_set1_epi32(kFormat.offset));
    out[j] = mul(scale, _mm512_cvtepi32_ps(code));
    if constexpr (kFormat.has_minimum)
      out[j] = sub(out[j], load(view.minima + group * kPanelWidth));
  }
}

template <class U>
void widen_panel(const QuantRange& args, int64_t n, float* out, int64_t ld) {
  const QuantPanel panel = panel_at<quant_format(U::kType).packed>(args, n);
  QuantScratch scratch;
  for (int64_t k0 = 0; k0 < args.k; k0 += kQuantChunk) {
    const int64_t left = args.k - k0;
    const int64_t columns = left < kQuantChunk ? left : kQuantChunk;
    const QuantView view = U::unpack(panel, k0 / kQuantChunk, columns, scratch);
    for (int64_t c = 0; c < columns; c += kSquare) {
      F32 square[kSquare];
      FATHOM_UNROLL for (int i = 0; i < kSquare; i += 4)
          values_of_line<U>(view, (c + i) / 4, square + i);
      turn(square);
      const Mask there = first_lanes(columns - c);
      FATHOM_UNROLL for (int i = 0; i < kSquare; ++i)
          store(out + i * ld + k0 + c, square[i], there);
    }
  }
}

}  // namespace

void quant_widen(const QuantRange& args, int64_t n, float* out, int64_t ld) {
  with_unpacker(args.type, [&]<class U>() { widen_panel<U>(args, n, out, ld); });
}

}  // namespace fathom::avx512
