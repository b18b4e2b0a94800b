// Weight gradients of linear layers, Wgrad of the report (§3.3; spec §6.7): dw[n, k] += sum over
// rows t of dy[t, n] * x[t, k]. The rows of a job form blocks of 128 from the first on; a block's
// sum starts from zero, and blocks are added to dw ascending (docs/numerics.md 9).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/dispatch.h"
#include "kernels/saved_rows.h"
#include "tensor/buffer.h"

namespace fathom {

enum class GradientPrecision : uint8_t {
  kF32,   // operands as they are
  kBf16,  // both rounded to BF16
  kFp8,  // both in E4M3 with an F32 scale for each tile of 128x1, the rows of a block of one column
};

struct WgradJob {
  RowsView dy;                       // rows of n values
  const int32_t* dy_rows = nullptr;  // [n_rows] row numbers; null: 0, 1, 2, ...
  RowsView x;                        // rows of k values
  const int32_t* x_rows = nullptr;
  int64_t n_rows = 0;
  int64_t n = 0, k = 0;
  float* dw = nullptr;  // [n, k], added to; of no other job
};

// Packed operands. Grows to what the largest call needs, up to some megabytes, and keeps it.
class WgradWorkspace {
 public:
  WgradWorkspace() = default;
  explicit WgradWorkspace(int n_threads) : rows(static_cast<size_t>(n_threads)) {}

  Buffer<std::byte> packed;
  Buffer<float> scales;
  std::vector<Buffer<float>> rows;  // of each thread: a block before it is packed
};

// In two parallel regions for some megabytes of operands at a time: rows made ready, products.
void wgrad(const Compute& compute, GradientPrecision precision, std::span<const WgradJob> jobs,
           WgradWorkspace& workspace);

}  // namespace fathom
