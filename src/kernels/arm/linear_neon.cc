// Linear layers for NEON: the bodies with the tiles that 32 registers of half a vector hold.
#include "kernels/arm/weights_neon.h"
#include "kernels/linear_args.h"

namespace fathom::neon {
namespace {
// Stream: rows by columns of a tile, and the columns of a tile of one row; with promotion, which
// needs a second set of sums, the rows and the sums of a set.
constexpr int64_t kStreamRows = 4;
constexpr int64_t kPromotedStreamRows = 4;
constexpr int kPromotedSums = 12;
constexpr int kTileColumns = 2;
constexpr int kStreamColumns = 4;
// Panel: rows of a tile, without and with the second set of sums that promotion needs: 24 registers
// of sums, 4 of weights and 2 of a row.
constexpr int kPlainRows = 6;
constexpr int kPromotedRows = 3;
// From this many rows on the panel widens each weight once for all of them.
constexpr int64_t kPanelRowsMin = 9;
}  // namespace
}  // namespace fathom::neon

// The bodies are written against the names above.
#include "kernels/simd/linear_body.h"
#include "kernels/simd/linear_rows_body.h"
