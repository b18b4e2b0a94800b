#include "kernels/machine_limits.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "base/math.h"
#include "kernels/kernel_sets.h"

namespace fathom {

namespace {

// The median over passes of units per second, units being what pass() returns; one pass first to
// warm up.
template <typename Pass>
double median_rate(int64_t milliseconds, const Pass& pass) {
  using Clock = std::chrono::steady_clock;
  const auto seconds = [](Clock::duration d) { return std::chrono::duration<double>(d).count(); };
  constexpr size_t kMinPasses = 3, kMaxPasses = 10000;
  pass();
  std::vector<double> rates;
  const auto start = Clock::now();
  while (rates.size() < kMinPasses ||
         (rates.size() < kMaxPasses &&
          seconds(Clock::now() - start) < static_cast<double>(milliseconds) * 1e-3)) {
    const auto begin = Clock::now();
    const double units = pass();
    rates.push_back(units / seconds(Clock::now() - begin));
  }
  std::nth_element(rates.begin(), rates.begin() + static_cast<int64_t>(rates.size() / 2),
                   rates.end());
  return rates[rates.size() / 2];
}

double arithmetic_rate(const Compute& compute, int64_t milliseconds,
                       int64_t (*loop)(int64_t, float*)) {
  // About half a millisecond a task: far above the cost of a region, far below a person's patience.
  constexpr int64_t kSteps = 100'000;
  const int n = compute.pool->n_threads();
  std::vector<float> sinks(static_cast<size_t>(n) * 16);  // a cache line each
  return median_rate(milliseconds,
                     [&] {
                       std::vector<int64_t> operations(static_cast<size_t>(n));
                       compute.pool->parallel_for(n, [&](int64_t task, int) {
                         float sink = sinks[static_cast<size_t>(task) * 16] * 0.0f;
                         operations[static_cast<size_t>(task)] = loop(kSteps, &sink);
                         sinks[static_cast<size_t>(task) * 16] = sink;
                       });
                       int64_t total = 0;
                       for (int64_t count : operations) total += count;
                       return static_cast<double>(total);
                     }) *
         1e-9;
}

constexpr int64_t kReadTask = int64_t{1} << 20;

}  // namespace

MachineMeter::MachineMeter(int64_t buffer_bytes)
    : buffer_(round_up(std::max(buffer_bytes, kReadTask), kReadTask)) {
  // Every page its own memory: untouched pages may all be one page of zeros.
  for (int64_t i = 0; i < buffer_.size(); i += 4096) buffer_.data()[i] = 1;
}

double MachineMeter::read_gb_s(const Compute& compute, int64_t milliseconds) const {
  const auto read = kernel_set(compute.isa).limits.read;
  std::vector<uint64_t> sinks(static_cast<size_t>(compute.pool->n_threads()) * 8);
  return median_rate(milliseconds,
                     [&] {
                       compute.pool->parallel_for(
                           buffer_.size() / kReadTask, [&](int64_t task, int thread) {
                             sinks[static_cast<size_t>(thread) * 8] +=
                                 read(buffer_.data() + task * kReadTask, kReadTask);
                           });
                       return static_cast<double>(buffer_.size());
                     }) *
         1e-9;
}

double MachineMeter::fp32_gflop_s(const Compute& compute, int64_t milliseconds) {
  return arithmetic_rate(compute, milliseconds, kernel_set(compute.isa).limits.fp32);
}

double MachineMeter::bf16_gflop_s(const Compute& compute, int64_t milliseconds) {
  return std::max(arithmetic_rate(compute, milliseconds / 2, kernel_set(compute.isa).limits.fp32),
                  arithmetic_rate(compute, milliseconds / 2, kernel_set(compute.isa).limits.bf16));
}

double MachineMeter::int8_gop_s(const Compute& compute, int64_t milliseconds) {
  return arithmetic_rate(compute, milliseconds, kernel_set(compute.isa).limits.int8);
}

MachineLimits MachineMeter::measure(const Compute& compute, int64_t milliseconds) const {
  return {read_gb_s(compute, milliseconds), fp32_gflop_s(compute, milliseconds),
          bf16_gflop_s(compute, milliseconds), int8_gop_s(compute, milliseconds)};
}

}  // namespace fathom
