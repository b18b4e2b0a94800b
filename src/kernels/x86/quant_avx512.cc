// Integer weights for AVX-512: VPDPBUSD multiplies a line of 64 unsigned codes (16 lanes of 4 k)
// by 4 codes of x, the same for all lanes, so no sum crosses lanes.
#include "kernels/x86/quant_rows_avx512.h"
#include "kernels/x86/quant_unpack_avx512.h"

namespace fathom::avx512 {

namespace {

// Rows at once: twelve chains hide the latency of a product and share the load of a line.
constexpr RowSteps<12, 8, 4, 3, 2, 1> kRowSteps;

FATHOM_INLINE __m512i broadcast4(const int8_t* p) {
  int32_t four = 0;
  __builtin_memcpy(&four, p, 4);
  return _mm512_set1_epi32(four);
}

// Adds groups [0, n_groups) of a chunk at column k0, group g0 of the rows, for R rows from row i.
template <int R, int kGroup, bool kMinimum>
[[gnu::noinline]] void add_chunk(const QuantView& view, const BlockOfRows& rows, int64_t i,
                                 int64_t k0, int64_t n_groups, int32_t offset,
                                 float (*state)[kPanelWidth]) {
  // Sums a row: enough chains for the latency of five cycles.
  constexpr int kChains = R == 1 ? 4 : R <= 3 ? 2 : 1;
  // More pointers than this do not stay in registers: those rows are copied beside each other.
  constexpr int kPointers = 4;
  const int8_t* x[R];
  alignas(64) int8_t copies[R > kPointers ? R : 1][kQuantChunk];
  for (int r = 0; r < R; ++r) {
    x[r] = rows.x[i + r] + k0;
    if constexpr (R > kPointers) {
      for (int64_t k = 0; k < kQuantChunk; k += 64)
        _mm512_store_si512(copies[r] + k, _mm512_loadu_si512(x[r] + k));
      x[r] = copies[r];
    }
  }
  F32 acc[R];
  FATHOM_UNROLL for (int r = 0; r < R; ++r) acc[r] = load(state[r]);
  const int64_t g0 = k0 / kGroup;
  for (int64_t g = 0; g < n_groups; ++g) {
    const uint8_t* lines = view.lines + g * kGroup * kPanelWidth;
    __m512i sums[R][kChains];
    FATHOM_UNROLL for (int r = 0; r < R; ++r) {
      sums[r][0] = _mm512_set1_epi32(-offset * rows.sums[i + r][g0 + g]);
      FATHOM_UNROLL for (int c = 1; c < kChains; ++c) sums[r][c] = _mm512_setzero_si512();
    }
    FATHOM_UNROLL for (int q = 0; q < kGroup / 4; ++q) {
      const __m512i line = _mm512_loadu_si512(lines + 64 * q);
      FATHOM_UNROLL for (int r = 0; r < R; ++r) {
        const int8_t* four = (R > kPointers ? copies[r] : x[r]) + g * kGroup + 4 * q;
        sums[r][q % kChains] = _mm512_dpbusd_epi32(sums[r][q % kChains], line, broadcast4(four));
      }
    }
    const F32 scale = load(view.scales + g * kPanelWidth);
    FATHOM_UNROLL for (int r = 0; r < R; ++r) {
      __m512i sum = sums[r][0];
      FATHOM_UNROLL for (int c = 1; c < kChains; ++c) sum = _mm512_add_epi32(sum, sums[r][c]);
      const F32 x_scale = set1(rows.scales[i + r][g0 + g]);
      acc[r] = fma(_mm512_cvtepi32_ps(sum), mul(x_scale, scale), acc[r]);
      if constexpr (kMinimum) {
        const F32 minimum = load(view.minima + g * kPanelWidth);
        const F32 x_sum = set1(static_cast<float>(rows.sums[i + r][g0 + g]));
        acc[r] = fnma(x_sum, mul(x_scale, minimum), acc[r]);
      }
    }
  }
  FATHOM_UNROLL for (int r = 0; r < R; ++r) store(state[r], acc[r]);
}

}  // namespace
}  // namespace fathom::avx512

// Written against the names above.
#include "kernels/simd/quant_body.h"
