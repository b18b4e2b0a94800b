// Linear layers for AVX-512: the bodies with the tiles that 32 registers hold; and avx512bf16, the
// same over pairs of BF16 where input and weight have such values.
#include "kernels/linear_args.h"
#include "kernels/x86/weights_avx512.h"

namespace fathom::avx512 {
namespace {
// Stream: rows by columns of a tile, and the columns of a tile of one row; with promotion, which
// needs a second set of sums, the rows and the sums of a set.
constexpr int64_t kStreamRows = 4;
constexpr int64_t kPromotedStreamRows = 6;
constexpr int kPromotedSums = 12;
constexpr int kTileColumns = 4;
constexpr int kStreamColumns = 8;
// Panel: rows of a tile, without and with the second set of sums that promotion needs.
constexpr int kPlainRows = 6;
constexpr int kPromotedRows = 3;
// From this many rows on the panel is faster (BF16, n = k = 2048, 8 rows: stream 0.90 ms,
// panel 1.18).
constexpr int64_t kPanelRowsMin = 9;
}  // namespace
}  // namespace fathom::avx512

// The bodies are written against the names above.
#include "kernels/simd/linear_body.h"
#include "kernels/simd/linear_rows_body.h"

namespace fathom {
namespace avx512 {
namespace {

struct BothOfPair {
  static constexpr int64_t kValues = 2;
  FATHOM_INLINE F32 accumulate(F32 x, F32 w, F32 sum) { return dot_pairs(sum, x, w); }
};
template <>
struct LaneOf<PairsBf16> {
  using Type = BothOfPair;
};
template <>
struct LaneOf<PairsE4m3> {
  using Type = BothOfPair;
};

}  // namespace

void range_of_pairs(const LinearRange& args) {
  if (args.w_type == WeightType::kE4m3) {
    any_rows<PairsE4m3, true>(args);
  } else {
    any_rows<PairsBf16, false>(args);
  }
}

}  // namespace avx512

namespace avx512bf16 {

void linear_range(const LinearRange& args) {
  if (args.pairs) {
    avx512::range_of_pairs(args);
  } else {
    avx512::linear_range(args);
  }
}

void prepare_pairs(const PrepareRow& args, uint16_t* out) {
  for (int64_t k0 = 0; k0 < args.k_padded; k0 += kLinearBlock) {
    alignas(64) float values[kLinearBlock];
    PrepareRow tile = args;
    tile.x = args.x + k0;
    tile.k = avx512::smaller(kLinearBlock, args.k - k0);
    tile.k_padded = kLinearBlock;
    tile.out = values;
    tile.scales = args.scales + k0 / kLinearBlock;
    avx512::prepare_row(tile);
    for (int64_t k = 0; k < kLinearBlock; k += avx512::kLanes)
      avx512::store_exact_bf16(out + k0 + k, avx512::load(values + k));
  }
}

}  // namespace avx512bf16
}  // namespace fathom
