#include "kernels/elementwise_backward.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/math.h"
#include "kernels/elementwise.h"
#include "kernels/kernel_sets.h"

namespace fathom {
namespace {

constexpr int64_t kBlockRows = 128;
constexpr int64_t kMaxRopeHalf = 512;

const GradientTable& table(Isa isa) { return *kernel_set(isa).gradient; }

}  // namespace

NormBackwardWorkspace::NormBackwardWorkspace(int64_t max_rows, int64_t max_n)
    : blocks_(ceil_div(max_rows, kBlockRows) * max_n) {}

void rms_norm_backward(const Compute& compute, const float* x, int64_t ldx, const float* weight,
                       float eps, const float* d_y, int64_t ldy, float* d_x, int64_t lddx, bool add,
                       float* d_weight, int64_t m, int64_t n, NormBackwardWorkspace& workspace) {
  const int64_t n_blocks = ceil_div(m, kBlockRows);
  FATHOM_CHECK(n > 0 && ldx >= n && ldy >= n && lddx >= n && n_blocks * n <= workspace.size(), "[",
               m, ", ", n, "], ldx ", ldx, ", ldy ", ldy, ", lddx ", lddx);
  const auto row_function = table(compute.isa).rms_norm_backward;
  compute.pool->parallel_for(n_blocks, [&](int64_t block, int) {
    float* const sums = workspace.blocks() + block * n;
    std::fill_n(sums, n, 0.0f);
    for (int64_t t = block * kBlockRows; t < std::min(m, (block + 1) * kBlockRows); ++t)
      row_function(x + t * ldx, weight, eps, d_y + t * ldy, d_x + t * lddx, add, sums, n);
  });
  for (int64_t block = 0; block < n_blocks; ++block)
    kernel_set(compute.isa).elementwise->add(d_weight, workspace.blocks() + block * n, n);
}

void rope_backward_row(Isa isa, float* d_x, int64_t n_heads, int64_t head_stride, int64_t dim,
                       const float* cos, const float* sin, bool interleaved) {
  FATHOM_CHECK(dim / 2 <= kMaxRopeHalf, "dim ", dim);
  std::array<float, kMaxRopeHalf> back;
  for (int64_t i = 0; i < dim / 2; ++i) back[static_cast<size_t>(i)] = -sin[i];
  rope_row(isa, d_x, n_heads, head_stride, dim, cos, back.data(), interleaved);
}

void silu_mul_backward_row(Isa isa, const float* gate, const float* up, const float* d_y,
                           float* d_gate, float* d_up, int64_t n) {
  table(isa).silu_mul_backward(gate, up, d_y, d_gate, d_up, n);
}

double cross_entropy_row(Isa isa, float* logits, int64_t n, int32_t target, float scale) {
  FATHOM_CHECK(target >= 0 && target < n, "target ", target, " of ", n);
  const double lse = log_sum_exp_row(isa, logits, n);
  const double loss = lse - static_cast<double>(logits[target]);
  table(isa).exp_scaled(logits, static_cast<float>(lse), scale, logits, n);
  logits[target] -= scale;
  return loss;
}

void scale_row(Isa isa, float weight, float* x, int64_t n) { table(isa).scale(weight, x, n); }

float dot_row(Isa isa, const float* x, const float* y, int64_t n) {
  return table(isa).dot(x, y, n);
}

void scatter_add_rows(const Compute& compute, std::span<const int32_t> tokens, const float* d_rows,
                      int64_t n, float* d_table) {
  // Tasks own columns, so that rows of one token stay in order.
  constexpr int64_t kColumns = 64;
  const auto add = kernel_set(compute.isa).elementwise->add;
  compute.pool->parallel_for(ceil_div(n, kColumns), [&](int64_t task, int) {
    const int64_t column = task * kColumns, columns = std::min(kColumns, n - column);
    for (size_t i = 0; i < tokens.size(); ++i)
      add(d_table + int64_t{tokens[i]} * n + column, d_rows + static_cast<int64_t>(i) * n + column,
          columns);
  });
}

}  // namespace fathom
