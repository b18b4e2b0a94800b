#include "kernels/adamw.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "base/math.h"
#include "kernels/kernel_sets.h"
#include "kernels/math.h"

namespace fathom {
namespace {

constexpr int64_t kBlock = 4096;  // of the norm's sums; part of the result
constexpr int64_t kTask = 16384;  // values of one task: 64 KB of each buffer

const OptimizerTable& table(Isa isa) { return *kernel_set(isa).optimizer; }

double power(double beta, double step) { return beta > 0.0 ? pow_f64(beta, step) : 0.0; }

AdamWFactors factors_of(const AdamWOptions& options) {
  FATHOM_CHECK(options.step >= 1, "step ", options.step);
  const auto step = static_cast<double>(options.step);
  const double correction1 = 1.0 - power(options.beta1, step);
  const double correction2 = 1.0 - power(options.beta2, step);
  return {.gradient_scale = static_cast<float>(options.gradient_scale),
          .keep = static_cast<float>(1.0 - options.learning_rate * options.weight_decay),
          .beta1 = static_cast<float>(options.beta1),
          .rest1 = static_cast<float>(1.0 - options.beta1),
          .beta2 = static_cast<float>(options.beta2),
          .rest2 = static_cast<float>(1.0 - options.beta2),
          .step_size = static_cast<float>(options.learning_rate / correction1),
          .inv_correction2 = static_cast<float>(1.0 / correction2),
          .eps = static_cast<float>(options.eps)};
}

// function(begin, n) over [0, n) in tasks.
template <typename F>
void for_each_task(const Compute& compute, int64_t n, const F& function) {
  if (compute.pool == nullptr || compute.pool->n_threads() == 1 || n <= kTask) {
    function(0, n);
    return;
  }
  compute.pool->parallel_for(ceil_div(n, kTask), [&](int64_t task, int) {
    function(task * kTask, std::min(kTask, n - task * kTask));
  });
}

}  // namespace

void adamw(const Compute& compute, const AdamWOptions& options, const float* gradient, float* value,
           float* m, float* v, int64_t n) {
  const AdamWFactors factors = factors_of(options);
  const auto step = table(compute.isa).adamw_f32;
  for_each_task(compute, n, [&](int64_t i, int64_t count) {
    step(factors, gradient + i, value + i, m + i, v + i, count);
  });
}

void adamw(const Compute& compute, const AdamWOptions& options, const float* gradient, float* value,
           uint16_t* m, uint16_t* v, int64_t n) {
  const AdamWFactors factors = factors_of(options);
  const auto step = table(compute.isa).adamw_bf16;
  for_each_task(compute, n, [&](int64_t i, int64_t count) {
    step(factors, gradient + i, value + i, m + i, v + i, count);
  });
}

double sum_of_squares(const Compute& compute, const float* x, int64_t n) {
  const auto sum_squares = table(compute.isa).sum_squares;
  const int64_t n_blocks = ceil_div(n, kBlock);
  std::vector<double> sums(static_cast<size_t>(n_blocks));
  constexpr int64_t kBlocksPerTask = kTask / kBlock;
  const auto blocks = [&](int64_t task, int) {
    for (int64_t b = task * kBlocksPerTask; b < std::min(n_blocks, (task + 1) * kBlocksPerTask);
         ++b) {
      sums[static_cast<size_t>(b)] = sum_squares(x + b * kBlock, std::min(kBlock, n - b * kBlock));
    }
  };
  const int64_t n_tasks = ceil_div(n_blocks, kBlocksPerTask);
  if (compute.pool == nullptr || n_tasks <= 1) {
    for (int64_t task = 0; task < n_tasks; ++task) blocks(task, 0);
  } else {
    compute.pool->parallel_for(n_tasks, blocks);
  }
  double sum = 0.0;
  for (double block : sums) sum += block;
  return sum;
}

void copy_or_clear(const Compute& compute, float* to, const float* from, int64_t n) {
  for_each_task(compute, n, [&](int64_t i, int64_t count) {
    if (from == nullptr) {
      std::fill_n(to + i, count, 0.0f);
    } else {
      std::copy_n(from + i, count, to + i);
    }
  });
}

}  // namespace fathom
