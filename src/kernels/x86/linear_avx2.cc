// Linear layers for AVX2: the bodies with the tiles that 16 registers hold.
#include "kernels/linear_args.h"
#include "kernels/x86/weights_avx2.h"

namespace fathom::avx2 {
namespace {
// Stream: rows by columns of a tile, and the columns of a tile of one row; with promotion, which
// needs a second set of sums, the rows and the sums of a set.
constexpr int64_t kStreamRows = 4;
constexpr int64_t kPromotedStreamRows = 4;
constexpr int kPromotedSums = 6;
constexpr int kTileColumns = 2;
constexpr int kStreamColumns = 8;
// Panel: rows of a tile, without and with the second set of sums that promotion needs.
constexpr int kPlainRows = 4;
constexpr int kPromotedRows = 2;
// From this many rows on the panel is faster (BF16, n = k = 2048, 8 rows: stream 1.22 ms,
// panel 1.71).
constexpr int64_t kPanelRowsMin = 9;
}  // namespace
}  // namespace fathom::avx2

// The bodies are written against the names above.
#include "kernels/simd/linear_body.h"
#include "kernels/simd/linear_rows_body.h"
