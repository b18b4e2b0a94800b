#include "kernels/trained_layouts.h"

#include <algorithm>

#include "base/math.h"
#include "kernels/kernel_sets.h"
#include "tensor/numeric.h"

namespace fathom {
namespace {

constexpr int64_t kBlock = 128;
constexpr int64_t kTaskValues = 16384;
constexpr int64_t kPanel = 64;  // of a transpose: rows and columns that stay in the nearest cache

template <typename T>
void transpose_panels(const Compute& compute, const T* w, int64_t n, int64_t k, T* out) {
  constexpr int64_t kStep = 16;
  compute.pool->parallel_for(ceil_div(k, kPanel), [&](int64_t panel, int) {
    const int64_t column_end = std::min(k, (panel + 1) * kPanel);
    for (int64_t row = 0; row < n; row += kStep) {
      const int64_t row_end = std::min(n, row + kStep);
      for (int64_t column = panel * kPanel; column < column_end; ++column) {
        for (int64_t r = row; r < row_end; ++r) out[column * n + r] = w[r * k + column];
      }
    }
  });
}

}  // namespace

void quantize_blocks(const Compute& compute, const float* w, int64_t n, int64_t k, bool ue8m0,
                     uint8_t* codes, float* scales) {
  const GradientTable& table = *kernel_set(compute.isa).gradient;
  const int64_t k_blocks = ceil_div(k, kBlock);
  compute.pool->parallel_for(ceil_div(n, kBlock) * k_blocks, [&](int64_t block, int) {
    const int64_t first = block / k_blocks * kBlock, end = std::min(n, first + kBlock);
    const int64_t column = block % k_blocks * kBlock, columns = std::min(kBlock, k - column);
    float largest = 0;
    for (int64_t row = first; row < end; ++row)
      largest = std::max(largest, table.amax(w + row * k + column, columns));
    const float scale = fp8_scale(largest, ue8m0);
    scales[block] = scale;
    for (int64_t row = first; row < end; ++row)
      table.e4m3_codes(w + row * k + column, scale, codes + row * k + column, columns);
  });
}

void round_bf16(const Compute& compute, const float* w, uint16_t* out, int64_t n) {
  const auto to_bf16 = kernel_set(compute.isa).attention->to_bf16;
  compute.pool->parallel_for(ceil_div(n, kTaskValues), [&](int64_t task, int) {
    const int64_t at = task * kTaskValues;
    to_bf16(w + at, out + at, std::min(kTaskValues, n - at));
  });
}

void transpose(const Compute& compute, const float* w, int64_t n, int64_t k, float* out) {
  transpose_panels(compute, w, n, k, out);
}
void transpose(const Compute& compute, const uint16_t* w, int64_t n, int64_t k, uint16_t* out) {
  transpose_panels(compute, w, n, k, out);
}
void transpose(const Compute& compute, const uint8_t* w, int64_t n, int64_t k, uint8_t* out) {
  transpose_panels(compute, w, n, k, out);
}

}  // namespace fathom
