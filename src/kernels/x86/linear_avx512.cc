// Linear layers for AVX-512: the bodies with the tiles that 32 registers hold.
#include "kernels/linear_args.h"
#include "kernels/x86/weights_avx512.h"

namespace fathom::avx512 {
namespace {
// Stream: rows by columns of a tile, and the columns of a tile of one row.
constexpr int64_t kTileRows = 4;
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
