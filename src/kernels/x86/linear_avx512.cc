// Linear layers for AVX-512.
#include "kernels/linear_args.h"
#include "kernels/x86/weights_avx512.h"

namespace fathom::avx512 {
namespace {
// Rows by columns of a tile: 16 sums hide the latency of fma twice, with 8 loads for 16 of them.
constexpr int64_t kTileRows = 4;
constexpr int kTileColumns = 4;
constexpr int kStreamColumns = 8;  // of one row
constexpr int kPlainRows = 6;
constexpr int kPromotedRows = 3;
constexpr int64_t kPanelRowsMin = 9;
}  // namespace
}  // namespace fathom::avx512

// The bodies are written against the names above.
#include "kernels/x86/linear_body.h"
#include "kernels/x86/linear_rows_body.h"
