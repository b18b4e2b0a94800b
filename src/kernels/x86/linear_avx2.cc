// Linear layers for AVX2.
#include "kernels/linear_args.h"
#include "kernels/x86/weights_avx2.h"

namespace fathom::avx2 {
namespace {
// Rows by columns of a tile: 8 sums leave room in 16 registers.
constexpr int64_t kTileRows = 4;
constexpr int kTileColumns = 2;
constexpr int kStreamColumns = 8;  // of one row
constexpr int kPlainRows = 4;
constexpr int kPromotedRows = 2;
constexpr int64_t kPanelRowsMin = 5;
}  // namespace
}  // namespace fathom::avx2

// The bodies are written against the names above.
#include "kernels/x86/linear_body.h"
#include "kernels/x86/linear_rows_body.h"
