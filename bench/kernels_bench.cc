// Linear layers beside the machine's limits, which are measured in the same run: decode (one row,
// weights larger than any cache: share of read bandwidth) and prefill (many rows: share of peak).
// Medians of repeated passes.
//   kernels_bench [threads] [isa] [part of a case's name [number of rows]]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "base/math.h"
#include "kernels/linear.h"
#include "kernels/machine_limits.h"
#include "tensor/numeric.h"

namespace fathom {
namespace {

struct Case {
  const char* name;
  Dtype dtype;
  InputFormat format;
};
const Case kCases[] = {
    {"F32  x F32", Dtype::kF32, InputFormat::kF32},
    {"F32  x BF16", Dtype::kBF16, InputFormat::kF32},
    {"F32  x F8", Dtype::kF8E4M3, InputFormat::kF32},
    {"BF16 x BF16", Dtype::kBF16, InputFormat::kBf16},
    {"BF16 x F8", Dtype::kF8E4M3, InputFormat::kBf16ForFp8},
    {"F8   x F8", Dtype::kF8E4M3, InputFormat::kFp8},
    {"INT8 x INT8", Dtype::kInt8, InputFormat::kInt8Tiles128},
    {"INT8 x INT4", Dtype::kInt4, InputFormat::kInt8Tiles64},
    {"INT8 x Q8_0", Dtype::kQ8_0, InputFormat::kInt8Tiles32},
    {"INT8 x Q4_0", Dtype::kQ4_0, InputFormat::kInt8Tiles32},
    {"INT8 x Q4_1", Dtype::kQ4_1, InputFormat::kInt8Tiles32},
    {"INT8 x Q5_0", Dtype::kQ5_0, InputFormat::kInt8Tiles32},
    {"INT8 x Q5_1", Dtype::kQ5_1, InputFormat::kInt8Tiles32},
    {"INT8 x Q4_K", Dtype::kQ4_K, InputFormat::kInt8Tiles32},
    {"INT8 x Q5_K", Dtype::kQ5_K, InputFormat::kInt8Tiles32},
    {"INT8 x Q6_K", Dtype::kQ6_K, InputFormat::kInt8Tiles16},
};

// One large block of weights; layers are views of it, so that decode can walk through more than a
// cache holds.
struct Weights {
  Buffer<uint8_t> bytes;
  Buffer<float> scales;
};

Weights make_weights(int64_t size) { return {Buffer<uint8_t>(size), Buffer<float>(1 << 16)}; }

// Values of moderate size: products of random bits would be subnormal, which no model's are, and
// slow.
void fill_blocks(Weights& weights, Dtype dtype) {
  const DtypeBlock block = dtype_block(dtype);
  const bool has_minimum = dtype == Dtype::kQ4_1 || dtype == Dtype::kQ5_1 ||
                           dtype == Dtype::kQ4_K || dtype == Dtype::kQ5_K;
  const float f32_scale = 0.01f;
  const uint16_t f16_scale = f32_to_f16(0.01f);
  uint32_t state = 1;
  for (uint8_t& byte : weights.bytes.span()) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<uint8_t>(state >> 24);
  }
  for (int64_t at = 0; at + block.bytes <= weights.bytes.size(); at += block.bytes) {
    uint8_t* p = weights.bytes.data() + at;
    for (int i = 0; i < 16 && dtype == Dtype::kInt8; ++i) std::memcpy(p + 4 * i, &f32_scale, 4);
    for (int i = 0; i < 32 && dtype == Dtype::kInt4; ++i) std::memcpy(p + 2 * i, &f16_scale, 2);
    if (block.rows > 1) continue;
    std::memcpy(dtype == Dtype::kQ6_K ? p + 208 : p, &f16_scale, 2);
    if (has_minimum) std::memcpy(p + 2, &f16_scale, 2);
  }
}

void fill(Weights& weights, Dtype dtype) {
  if (is_block_type(dtype)) return fill_blocks(weights, dtype);
  uint32_t state = 1;
  const int64_t size = dtype_size(dtype);
  for (int64_t i = 0; i < weights.bytes.size() / size; ++i) {
    state = state * 1664525u + 1013904223u;
    const float v = static_cast<float>(static_cast<int32_t>(state) >> 16) * 0x1p-15f;
    const uint16_t half = dtype == Dtype::kF16 ? f32_to_f16(v) : f32_to_bf16(v);
    const uint8_t byte = static_cast<uint8_t>((state >> 24) & 0xf7u);  // any code but NaN
    const void* from = size == 4   ? static_cast<const void*>(&v)
                       : size == 2 ? static_cast<const void*>(&half)
                                   : &byte;
    std::memcpy(weights.bytes.data() + i * size, from, static_cast<size_t>(size));
  }
  for (float& s : weights.scales.span()) s = 0.01f;
}

template <typename Pass>
double median_seconds(double budget, const Pass& pass) {
  using Clock = std::chrono::steady_clock;
  pass();
  std::vector<double> times;
  const auto start = Clock::now();
  while (times.size() < 3 || std::chrono::duration<double>(Clock::now() - start).count() < budget) {
    const auto begin = Clock::now();
    pass();
    times.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

void bench(const Compute& compute, const Weights& weights, const Case& c, int64_t m, int64_t n,
           int64_t k, const MachineMeter& meter) {
  Buffer<float> x(m * k), y(m * n);
  for (int64_t i = 0; i < m * k; ++i) x[i] = static_cast<float>(i % 17 - 8) * 0.1f;
  LinearInput input(m, k);
  input.prepare(compute, x.data(), k, m, k, c.format);
  const int64_t layer_bytes = matrix_bytes(c.dtype, n, k);
  // More than any cache holds; of many rows fewer, since their arithmetic takes the time.
  const int64_t n_layers =
      std::max<int64_t>(1, weights.bytes.size() / (m > 16 ? 6 : 1) / layer_bytes);
  const double seconds =
      median_seconds(
          0.4,
          [&] {
            for (int64_t layer = 0; layer < n_layers; ++layer) {
              const LinearWeight w{
                  c.dtype, n, k, weights.bytes.data() + layer * layer_bytes, weights.scales.data(),
                  1};
              linear(compute, input, w, y.data(), n);
            }
          }) /
      static_cast<double>(n_layers);
  const double gb_s = static_cast<double>(layer_bytes) / seconds * 1e-9;
  const double gflop_s = 2.0 * static_cast<double>(m * n * k) / seconds * 1e-9;
  const double read = meter.read_gb_s(compute, 150);
  const double peak = is_int8(c.format) ? MachineMeter::int8_gop_s(compute, 50)
                                        : MachineMeter::fp32_gflop_s(compute, 50);
  std::printf("%-12s m %4ld n %5ld k %5ld  %8.1f us  %6.2f GB/s %5.1f%%  %7.1f Gop/s %5.1f%%\n",
              c.name, long(m), long(n), long(k), seconds * 1e6, gb_s, 100 * gb_s / read, gflop_s,
              100 * gflop_s / peak);
}

int run(int argc, char** argv) {
  Pool pool(argc > 1 ? std::max(1, std::atoi(argv[1])) : available_cores());
  const auto isa = select_isa(argc > 2 ? argv[2] : "auto");
  if (!isa.ok()) {
    std::fprintf(stderr, "%s\n", isa.error().message.c_str());
    return 2;
  }
  const Compute compute{isa.value(), &pool};
  const MachineMeter meter;
  const MachineLimits limits = meter.measure(compute, 300);
  std::printf("%s, %d threads: read %.1f GB/s, fp32 %.0f, bf16 %.0f GFLOP/s, int8 %.0f GOP/s\n",
              std::string(isa_name(compute.isa)).c_str(), pool.n_threads(), limits.read_gb_s,
              limits.fp32_gflop_s, limits.bf16_gflop_s, limits.int8_gop_s);
  Weights weights = make_weights(int64_t{768} << 20);
  const char* part = argc > 3 ? argv[3] : "";
  const int64_t only = argc > 4 ? std::atoi(argv[4]) : 0;
  for (const Case& c : kCases) {
    if (std::strstr(c.name, part) == nullptr) continue;
    fill(weights, c.dtype);
    if (only > 0) {
      bench(compute, weights, c, only, 2048, 2048, meter);
      bench(compute, weights, c, only, 2048, 7168, meter);
      continue;
    }
    for (int64_t m : {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 512})
      bench(compute, weights, c, m, 2048, 2048, meter);
    bench(compute, weights, c, 1, 4096, 7168, meter);
    bench(compute, weights, c, 128, 2048, 7168, meter);
  }
  return 0;
}

}  // namespace
}  // namespace fathom

int main(int argc, char** argv) { return fathom::run(argc, argv); }
