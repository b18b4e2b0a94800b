// What the tests of linear layers share: random weights and rows of every kind, and one call
// through a whole input.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "base/math.h"
#include "kernels/linear.h"
#include "tensor/numeric.h"

namespace fathom::linear_testing {

enum class Values { kNormal, kZero, kTiny, kHuge, kSpiky };

inline float draw(std::mt19937& rng, Values values) {
  std::normal_distribution<float> normal;
  switch (values) {
    case Values::kNormal:
      return normal(rng);
    case Values::kZero:
      return 0.0f;
    case Values::kTiny:
      return normal(rng) * 1e-6f;
    case Values::kHuge:
      return normal(rng) * 1e6f;
    case Values::kSpiky:
      return rng() % 97 == 0 ? normal(rng) * 1000.0f : normal(rng) * 0.01f;
  }
  return 0.0f;
}

// A weight of random values with its memory; misaligned by one byte for F8, one element otherwise.
struct TestWeight {
  std::vector<unsigned char> memory;
  std::vector<float> scales;
  LinearWeight weight;
};

inline std::unique_ptr<TestWeight> make_weight(std::mt19937& rng, Dtype dtype, int64_t n, int64_t k,
                                               Values values = Values::kNormal) {
  auto test = std::make_unique<TestWeight>();
  const int64_t size = dtype_size(dtype);
  test->memory.resize(static_cast<size_t>((n * k + 1) * size));
  unsigned char* data = test->memory.data() + size;
  test->scales.resize(static_cast<size_t>(ceil_div(n, 128) * ceil_div(k, 128)));
  for (float& s : test->scales) s = 0.001f + 0.01f * static_cast<float>(rng() % 1000) / 1000.0f;
  for (int64_t i = 0; i < n * k; ++i) {
    const float v = draw(rng, values == Values::kHuge ? Values::kNormal : values);
    const uint16_t half = dtype == Dtype::kF16 ? f32_to_f16(v) : f32_to_bf16(v);
    const E4M3 byte = f32_to_e4m3(v * 100.0f);
    const void* from = dtype == Dtype::kF32      ? static_cast<const void*>(&v)
                       : dtype == Dtype::kF8E4M3 ? static_cast<const void*>(&byte)
                                                 : static_cast<const void*>(&half);
    std::memcpy(data + i * size, from, static_cast<size_t>(size));
  }
  test->weight = {dtype, n, k, data, dtype == Dtype::kF8E4M3 ? test->scales.data() : nullptr, 1};
  return test;
}

inline std::vector<float> make_rows(std::mt19937& rng, int64_t m, int64_t k,
                                    Values values = Values::kNormal) {
  std::vector<float> x(static_cast<size_t>(m * k));
  for (float& v : x) v = draw(rng, values);
  return x;
}

struct Pair {
  Dtype dtype;
  InputFormat format;
  const char* name;
};
inline constexpr Pair kPairs[] = {
    {Dtype::kF32, InputFormat::kF32, "F32"},
    {Dtype::kF16, InputFormat::kF32, "F16"},
    {Dtype::kBF16, InputFormat::kF32, "BF16"},
    {Dtype::kF8E4M3, InputFormat::kF32, "F8"},
    {Dtype::kBF16, InputFormat::kBf16, "BF16 x BF16"},
    {Dtype::kF32, InputFormat::kBf16Rounded, "BF16 as F32 x F32"},
    {Dtype::kF16, InputFormat::kBf16Rounded, "BF16 as F32 x F16"},
    {Dtype::kF8E4M3, InputFormat::kBf16ForFp8, "BF16 x F8"},
    {Dtype::kF8E4M3, InputFormat::kFp8, "F8 x F8"},
    {Dtype::kF8E4M3, InputFormat::kFp8Ue8m0, "F8 ue8m0 x F8"},
};

inline std::vector<float> run(Isa isa, Pool& pool, const LinearInput& x, const LinearWeight& w) {
  std::vector<float> y(static_cast<size_t>(x.rows() * w.n), -1.0f);
  linear({isa, &pool}, x, w, y.data(), w.n);
  return y;
}

inline bool same_bits(const float* a, const float* b, int64_t n) {
  return std::memcmp(a, b, static_cast<size_t>(n) * 4) == 0;
}

}  // namespace fathom::linear_testing
