// Integer weights for AVX2: codes widened to 16 bits and multiplied in pairs by VPMADDWD, which is
// exact (VPMADDUBSW saturates).
#include "kernels/x86/vec_avx2.h"

// Written against the names above.
#include "kernels/simd/quant_panel.h"
#include "kernels/simd/quant_unpack_body.h"

namespace fathom::avx2 {

namespace {

constexpr int kPanels = 1;
constexpr int64_t kPanelsRowsMin = 0;
template <int>
constexpr RowSteps<2, 1> row_steps() {
  return {};
}

// One line times 4 codes of x: sums[j] holds two partial sums of each of lanes 4 j .. 4 j + 3.
FATHOM_INLINE void add_line(const __m256i* codes, const int16_t* x, __m256i* sums) {
  int64_t four = 0;
  __builtin_memcpy(&four, x, 8);
  const __m256i v = _mm256_set1_epi64x(four);
  FATHOM_UNROLL for (int j = 0; j < 4; ++j) sums[j] =
      _mm256_add_epi32(sums[j], _mm256_madd_epi16(codes[j], v));
}

// Lanes 8 h .. 8 h + 7 from the partial sums.
FATHOM_INLINE __m256i whole_sums(const __m256i* sums, int h) {
  const __m256i pairs = _mm256_hadd_epi32(sums[2 * h], sums[2 * h + 1]);  // 0 1 4 5 2 3 6 7
  return _mm256_permute4x64_epi64(pairs, 0xd8);
}

template <int R, int kGroup, bool kMinimum>
[[gnu::noinline]] void add_chunk(const QuantView (&views)[1], const BlockOfRows& rows, int64_t i,
                                 int64_t k0, int64_t n_groups, int32_t offset,
                                 const PanelSums<1>& states) {
  const QuantView& view = views[0];
  float(*const state)[kPanelWidth] = states[0];
  alignas(32) int16_t x[R][kQuantChunk];
  for (int r = 0; r < R; ++r) {
    for (int64_t k = 0; k < kQuantChunk; k += 16) {
      const auto* from = reinterpret_cast<const __m128i*>(rows.x[i + r] + k0 + k);
      _mm256_store_si256(reinterpret_cast<__m256i*>(x[r] + k),
                         _mm256_cvtepi8_epi16(_mm_loadu_si128(from)));
    }
  }
  const int64_t g0 = k0 / kGroup;
  for (int64_t g = 0; g < n_groups; ++g) {
    const uint8_t* lines = view.lines + g * kGroup * kPanelWidth;
    __m256i sums[R][4];
    FATHOM_UNROLL for (int r = 0; r < R; ++r) {
      FATHOM_UNROLL for (int j = 0; j < 4; ++j) sums[r][j] = _mm256_setzero_si256();
    }
    for (int64_t q = 0; q < kGroup / 4; ++q) {
      __m256i codes[4];
      FATHOM_UNROLL for (int j = 0; j < 4; ++j) {
        const auto* from = reinterpret_cast<const __m128i*>(lines + 64 * q + 16 * j);
        codes[j] = _mm256_cvtepu8_epi16(_mm_loadu_si128(from));
      }
      FATHOM_UNROLL for (int r = 0; r < R; ++r) add_line(codes, x[r] + g * kGroup + 4 * q, sums[r]);
    }
    FATHOM_UNROLL for (int r = 0; r < R; ++r) {
      const int32_t x_sum = rows.sums[i + r][g0 + g];
      const F32 x_scale = set1(rows.scales[i + r][g0 + g]);
      FATHOM_UNROLL for (int h = 0; h < 2; ++h) {
        const __m256i sum =
            _mm256_sub_epi32(whole_sums(sums[r], h), _mm256_set1_epi32(offset * x_sum));
        const F32 scale = load(view.scales + g * kPanelWidth + 8 * h);
        F32 acc = load(state[r] + 8 * h);
        acc = fma(_mm256_cvtepi32_ps(sum), mul(x_scale, scale), acc);
        if constexpr (kMinimum) {
          const F32 minimum = load(view.minima + g * kPanelWidth + 8 * h);
          acc = fnma(set1(static_cast<float>(x_sum)), mul(x_scale, minimum), acc);
        }
        store(state[r] + 8 * h, acc);
      }
    }
  }
}

FATHOM_INLINE int32_t reduce(__m256i v, bool largest) {
  alignas(32) int32_t lanes[8];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), v);
  int32_t result = lanes[0];
  for (int i = 1; i < 8; ++i) {
    result = !largest ? result + lanes[i] : lanes[i] > result ? lanes[i] : result;
  }
  return result;
}

FATHOM_INLINE void prepare_int8_tile(const PrepareInt8& args, int64_t k0) {
  const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
  __m256i largest = _mm256_setzero_si256();
  for (int64_t i = 0; i < args.tile; i += kLanes) {
    const F32 v = load(args.x + k0 + i, first_lanes(args.k - k0 - i));
    largest = _mm256_max_epi32(largest, _mm256_and_si256(_mm256_castps_si256(v), magnitude));
  }
  const int32_t bits = reduce(largest, true);
  float scale = __builtin_nanf("");
  if (bits < 0x7f800000) {
    __builtin_memcpy(&scale, &bits, 4);
    scale /= 127.0f;
  }
  __m256i sum = _mm256_setzero_si256();
  for (int64_t i = 0; i < args.tile; i += kLanes) {
    const int64_t there = scale > 0.0f ? args.k - k0 - i : 0;
    F32 v = zero();
    if (there > 0) v = div(load(args.x + k0 + i, first_lanes(there)), set1(scale));
    v = max(_mm256_min_ps(v, set1(127.0f)), set1(-127.0f));
    const __m256i code = _mm256_cvtps_epi32(v);
    sum = _mm256_add_epi32(sum, code);
    alignas(32) int32_t codes[8];
    _mm256_store_si256(reinterpret_cast<__m256i*>(codes), code);
    for (int j = 0; j < 8; ++j) args.codes[k0 + i + j] = static_cast<int8_t>(codes[j]);
  }
  args.scales[k0 / args.tile] = scale;
  args.sums[k0 / args.tile] = reduce(sum, false);
}

}  // namespace
}  // namespace fathom::avx2

#include "kernels/simd/quant_body.h"
