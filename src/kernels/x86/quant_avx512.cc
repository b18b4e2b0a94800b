// Integer weights for AVX-512: VPDPBUSD multiplies a line of 64 unsigned codes (16 lanes of 4 k)
// by 4 codes of x, the same for all lanes, so no sum crosses lanes.
#include "kernels/x86/quant_rows_avx512.h"
#include "kernels/x86/quant_unpack_avx512.h"

namespace fathom::avx512 {

namespace {

// Sums at once: twelve chains hide the latency of a product and share the load of a line, those of
// two panels also that of four codes of x.
constexpr int kPanels = 2;
constexpr int64_t kPanelsRowsMin = 9;
template <int P>
constexpr auto row_steps() {
  if constexpr (P == 1) {
    return RowSteps<12, 8, 4, 3, 2, 1>{};
  } else {
    return RowSteps<6, 4, 3, 2, 1>{};
  }
}

FATHOM_INLINE __m512i broadcast4(const int8_t* p) {
  int32_t four = 0;
  __builtin_memcpy(&four, p, 4);
  return _mm512_set1_epi32(four);
}

// Adds groups [0, n_groups) of a chunk at column k0, group g0 of the rows, for R rows from row i.
template <int R, int kGroup, bool kMinimum, int P>
[[gnu::noinline]] void add_chunk(const QuantView (&views)[P], const BlockOfRows& rows, int64_t i,
                                 int64_t k0, int64_t n_groups, int32_t offset,
                                 const PanelSums<P>& state) {
  // Sums a row: enough chains for the latency of five cycles.
  constexpr int kChains = R * P == 1 ? 4 : R * P <= 3 ? 2 : 1;
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
  F32 acc[R][P];
  FATHOM_UNROLL for (int r = 0; r < R; ++r) {
    FATHOM_UNROLL for (int p = 0; p < P; ++p) acc[r][p] = load(state[p][r]);
  }
  const int64_t g0 = k0 / kGroup;
  for (int64_t g = 0; g < n_groups; ++g) {
    __m512i sums[R][P][kChains];
    FATHOM_UNROLL for (int r = 0; r < R; ++r) {
      FATHOM_UNROLL for (int p = 0; p < P; ++p) {
        sums[r][p][0] = _mm512_set1_epi32(-offset * rows.sums[i + r][g0 + g]);
        FATHOM_UNROLL for (int c = 1; c < kChains; ++c) sums[r][p][c] = _mm512_setzero_si512();
      }
    }
    FATHOM_UNROLL for (int q = 0; q < kGroup / 4; ++q) {
      __m512i lines[P];
      FATHOM_UNROLL for (int p = 0; p < P; ++p) lines[p] =
          _mm512_loadu_si512(views[p].lines + g * kGroup * kPanelWidth + 64 * q);
      FATHOM_UNROLL for (int r = 0; r < R; ++r) {
        const __m512i four = broadcast4((R > kPointers ? copies[r] : x[r]) + g * kGroup + 4 * q);
        FATHOM_UNROLL for (int p = 0; p < P; ++p) sums[r][p][q % kChains] =
            _mm512_dpbusd_epi32(sums[r][p][q % kChains], lines[p], four);
      }
    }
    FATHOM_UNROLL for (int r = 0; r < R; ++r) {
      const F32 x_scale = set1(rows.scales[i + r][g0 + g]);
      FATHOM_UNROLL for (int p = 0; p < P; ++p) {
        __m512i sum = sums[r][p][0];
        FATHOM_UNROLL for (int c = 1; c < kChains; ++c) sum = _mm512_add_epi32(sum, sums[r][p][c]);
        const F32 scale = load(views[p].scales + g * kPanelWidth);
        acc[r][p] = fma(_mm512_cvtepi32_ps(sum), mul(x_scale, scale), acc[r][p]);
        if constexpr (kMinimum) {
          const F32 minimum = load(views[p].minima + g * kPanelWidth);
          const F32 x_sum = set1(static_cast<float>(rows.sums[i + r][g0 + g]));
          acc[r][p] = fnma(x_sum, mul(x_scale, minimum), acc[r][p]);
        }
      }
    }
  }
  FATHOM_UNROLL for (int r = 0; r < R; ++r) {
    FATHOM_UNROLL for (int p = 0; p < P; ++p) store(state[p][r], acc[r][p]);
  }
}

}  // namespace
}  // namespace fathom::avx512

// Written against the names above.
#include "kernels/simd/quant_body.h"
