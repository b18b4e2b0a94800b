#include "kernels/elementwise.h"

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "base/math.h"
#include "kernels/kernel_sets.h"
#include "kernels/math.h"

namespace fathom {
namespace {

// Values below which a parallel region costs more than it saves: about 10 us of one thread's work.
constexpr int64_t kParallelValues = 32768;

const ElementwiseTable& table(Isa isa) { return *kernel_set(isa).elementwise; }

}  // namespace

void rms_norm(const Compute& compute, const float* x, int64_t ldx, const float* weight, float eps,
              float* y, int64_t ldy, int64_t m, int64_t n) {
  FATHOM_CHECK(m >= 0 && n > 0 && ldx >= n && ldy >= n, "m ", m, ", n ", n, ", ldx ", ldx, ", ldy ",
               ldy);
  const auto row_function = table(compute.isa).rms_norm_row;
  const auto row = [&](int64_t t) { row_function(x + t * ldx, weight, eps, y + t * ldy, n); };
  if (compute.pool == nullptr || compute.pool->n_threads() == 1 || m * n < kParallelValues) {
    for (int64_t t = 0; t < m; ++t) row(t);
    return;
  }
  const int64_t rows_per_task = std::max<int64_t>(1, kParallelValues / 4 / n);
  compute.pool->parallel_for(ceil_div(m, rows_per_task), [&](int64_t task, int) {
    for (int64_t t = task * rows_per_task; t < std::min(m, (task + 1) * rows_per_task); ++t) row(t);
  });
}

void add_in_place(const Compute& compute, float* x, const float* y, int64_t n) {
  const auto add = table(compute.isa).add;
  if (compute.pool == nullptr || compute.pool->n_threads() == 1 || n < kParallelValues) {
    add(x, y, n);
    return;
  }
  constexpr int64_t kTask = kParallelValues / 4;
  compute.pool->parallel_for(ceil_div(n, kTask), [&](int64_t task, int) {
    add(x + task * kTask, y + task * kTask, std::min(kTask, n - task * kTask));
  });
}

void axpy_row(Isa isa, float weight, const float* x, float* y, int64_t n) {
  table(isa).axpy(weight, x, y, n);
}

void rope_row(Isa isa, float* x, int64_t n_heads, int64_t head_stride, int64_t dim,
              const float* cos, const float* sin, bool interleaved) {
  FATHOM_CHECK(dim % 2 == 0, "dim ", dim);
  const auto rope = table(isa).rope;
  for (int64_t h = 0; h < n_heads; ++h) rope(x + h * head_stride, dim, cos, sin, interleaved);
}

void sigmoid_row(Isa isa, const float* x, float* y, int64_t n) { table(isa).sigmoid(x, y, n); }

void silu_mul_row(Isa isa, const float* gate, const float* up, float* y, int64_t n) {
  table(isa).silu_mul(gate, up, y, n);
}

void softmax_row(Isa isa, const float* x, float* y, int64_t n) {
  FATHOM_CHECK(n > 0, "n ", n);
  table(isa).softmax(x, y, n);
}

double log_sum_exp_row(Isa isa, const float* x, int64_t n) {
  FATHOM_CHECK(n > 0, "n ", n);
  float max = 0.0f;
  const double sum = table(isa).sum_exp(x, n, &max);
  return static_cast<double>(max) + log_f64(sum);
}

int64_t argmax_row(const float* x, int64_t n) {
  FATHOM_CHECK(n > 0, "n ", n);
  // Independent lanes, which the compiler turns into vectors; a NaN never compares greater.
  constexpr int64_t kWidth = 16;
  float lanes[kWidth];
  std::fill(lanes, lanes + kWidth, -std::numeric_limits<float>::infinity());
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    for (int64_t j = 0; j < kWidth; ++j) lanes[j] = x[i + j] > lanes[j] ? x[i + j] : lanes[j];
  }
  for (; i < n; ++i) lanes[0] = x[i] > lanes[0] ? x[i] : lanes[0];
  const float max = *std::max_element(lanes, lanes + kWidth);
  const float* found = std::find(x, x + n, max);
  return found == x + n ? 0 : found - x;  // all NaN: 0
}

}  // namespace fathom
