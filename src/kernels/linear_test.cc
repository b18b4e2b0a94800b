// Goal: every linear kernel computes y = x w^T within the rounding that its order allows, and its bytes depend on
// nothing but the row, the weights and the instruction set. Method: a formula in double in this file; laws by
// comparing bytes. Every instruction set of the machine runs.
#include "kernels/linear.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>

#include "base/math.h"
#include "tensor/numeric.h"

namespace fathom {
namespace {

enum class Values { kNormal, kZero, kTiny, kHuge, kSpiky };

float draw(std::mt19937& rng, Values values) {
  std::normal_distribution<float> normal;
  switch (values) {
    case Values::kNormal: return normal(rng);
    case Values::kZero: return 0.0f;
    case Values::kTiny: return normal(rng) * 1e-6f;
    case Values::kHuge: return normal(rng) * 1e6f;
    case Values::kSpiky: return rng() % 97 == 0 ? normal(rng) * 1000.0f : normal(rng) * 0.01f;
  }
  return 0.0f;
}

// A weight of random values with its memory; misaligned by one byte for F8, one element otherwise.
struct TestWeight {
  std::vector<unsigned char> memory;
  std::vector<float> scales;
  LinearWeight weight;
};

std::unique_ptr<TestWeight> make_weight(std::mt19937& rng, Dtype dtype, int64_t n, int64_t k,
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

std::vector<float> make_rows(std::mt19937& rng, int64_t m, int64_t k, Values values = Values::kNormal) {
  std::vector<float> x(static_cast<size_t>(m * k));
  for (float& v : x) v = draw(rng, values);
  return x;
}

// What a row is after preparation: values times scales, in double; by the formulas of the specification.
std::vector<double> expected_input(const float* x, int64_t k, InputFormat format) {
  std::vector<double> out(static_cast<size_t>(k));
  for (int64_t b = 0; b < k; b += 128) {
    const int64_t end = std::min(k, b + 128);
    float amax = 0.0f;
    for (int64_t i = b; i < end; ++i) amax = std::max(amax, std::fabs(x[i]));
    const float scale = fp8_scale(amax, format == InputFormat::kFp8Ue8m0);
    for (int64_t i = b; i < end; ++i) {
      double& v = out[static_cast<size_t>(i)];
      if (format == InputFormat::kFp8 || format == InputFormat::kFp8Ue8m0) {
        v = double{e4m3_to_f32(f32_to_e4m3(x[i] / scale))} * scale;
      } else {
        v = format == InputFormat::kF32 ? x[i] : round_to_bf16(x[i]);
      }
    }
  }
  return out;
}

double expected_weight(const LinearWeight& w, int64_t n, int64_t k) {
  const int64_t at = n * w.k + k;
  uint16_t half = 0;
  float single = 0;
  const char* data = static_cast<const char*>(w.data) + at * dtype_size(w.dtype);
  switch (w.dtype) {
    case Dtype::kF32: std::memcpy(&single, data, 4); return single;
    case Dtype::kF16: std::memcpy(&half, data, 2); return f16_to_f32(half);
    case Dtype::kBF16: std::memcpy(&half, data, 2); return bf16_to_f32(half);
    default: break;
  }
  return double{e4m3_to_f32(static_cast<E4M3>(*data))} * w.scale_inv[n / 128 * ceil_div(w.k, 128) + k / 128];
}

struct Pair {
  Dtype dtype;
  InputFormat format;
  const char* name;
};
const Pair kPairs[] = {
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

std::vector<float> run(Isa isa, Pool& pool, const LinearInput& x, const LinearWeight& w) {
  std::vector<float> y(static_cast<size_t>(x.rows() * w.n), -1.0f);
  linear({isa, &pool}, x, w, y.data(), w.n);
  return y;
}

bool same_bits(const float* a, const float* b, int64_t n) { return std::memcmp(a, b, static_cast<size_t>(n) * 4) == 0; }

void expect_close(Isa isa, const Pair& pair, const LinearWeight& w, const std::vector<float>& x, int64_t m,
                  const std::vector<float>& y, const std::string& what) {
  // Each product passes through at most ceil(k / 8) + 6 roundings (eight lanes are the fewest), 2^-24 each, plus two
  // for the promotion of a block; products of pairs may be flushed below the smallest normal.
  const double roundings = static_cast<double>(w.k) / (isa == Isa::kRef ? 128 : 8) + 12;
  for (int64_t i = 0; i < m; ++i) {
    const auto row = expected_input(x.data() + i * w.k, w.k, pair.format);
    for (int64_t n = 0; n < w.n; ++n) {
      double sum = 0, magnitude = 0;
      for (int64_t k = 0; k < w.k; ++k) {
        const double product = row[static_cast<size_t>(k)] * expected_weight(w, n, k);
        sum += product;
        magnitude += std::fabs(product);
      }
      const double tolerance = roundings * 0x1p-24 * magnitude + static_cast<double>(w.k) * 0x1p-120;
      ASSERT_NEAR(y[static_cast<size_t>(i * w.n + n)], sum, tolerance)
          << isa_name(isa) << " " << pair.name << " " << what << " k " << w.k << " row " << i << " column " << n;
    }
  }
}

TEST(Linear, EqualsTheFormula) {
  Pool pool(2);
  std::mt19937 rng(1);
  for (Isa isa : available_isas()) {
    for (const Pair& pair : kPairs) {
      for (int64_t k : {1, 7, 31, 32, 33, 63, 64, 65, 127, 128, 129, 144, 160, 192, 255, 256, 257, 1031}) {
        const auto w = make_weight(rng, pair.dtype, 131, k);
        const auto x = make_rows(rng, 6, k);
        LinearInput input(6, k);
        for (int64_t m : {1, 6}) {
          input.prepare({isa, &pool}, x.data(), k, m, k, pair.format);
          ASSERT_NO_FATAL_FAILURE(
              expect_close(isa, pair, w->weight, x, m, run(isa, pool, input, w->weight), "normal"));
        }
      }
    }
  }
}

TEST(Linear, EqualsTheFormulaForUnusualValues) {
  Pool pool(1);
  std::mt19937 rng(2);
  for (Isa isa : available_isas()) {
    for (const Pair& pair : kPairs) {
      for (Values values : {Values::kZero, Values::kTiny, Values::kHuge, Values::kSpiky}) {
        const auto w = make_weight(rng, pair.dtype, 9, 300, values);
        const auto x = make_rows(rng, 5, 300, values);
        LinearInput input(5, 300);
        input.prepare({isa, &pool}, x.data(), 300, 5, 300, pair.format);
        ASSERT_NO_FATAL_FAILURE(expect_close(isa, pair, w->weight, x, 5, run(isa, pool, input, w->weight),
                                             "values " + std::to_string(static_cast<int>(values))));
      }
    }
  }
}

TEST(Linear, EmptyShapesWriteNothing) {
  Pool pool(2);
  LinearInput input(4, 8);
  const std::vector<float> x(32, 1.0f), data(64, 1.0f);
  float y = 5.0f;
  for (Isa isa : available_isas()) {
    input.prepare({isa, &pool}, x.data(), 8, 0, 8, InputFormat::kF32);
    linear({isa, &pool}, input, LinearWeight{Dtype::kF32, 8, 8, data.data(), nullptr, 1}, &y, 8);
    input.prepare({isa, &pool}, x.data(), 8, 1, 8, InputFormat::kF32);
    linear({isa, &pool}, input, LinearWeight{Dtype::kF32, 0, 8, nullptr, nullptr, 1}, &y, 8);
    EXPECT_EQ(y, 5.0f);
  }
}

// A row's bytes: alone, among any number of others, chosen by a list, with any number of threads, in pieces.
TEST(Linear, RowIsAlone) {
  std::mt19937 rng(3);
  constexpr int64_t kRows = 133;
  for (Isa isa : available_isas()) {
    for (const Pair& pair : kPairs) {
      for (int64_t k : {145, 1024}) {
        for (int n_segments : {1, 8}) {
          if (k % 1024 != 0 && n_segments != 1) continue;
          Pool one(1);
          auto w = make_weight(rng, pair.dtype, 139, k, Values::kSpiky);
          w->weight.n_segments = n_segments;
          const int64_t n = w->weight.n;
          const auto x = make_rows(rng, kRows, k, Values::kSpiky);
          std::vector<float> alone(static_cast<size_t>(kRows * n));
          for (int64_t i = 0; i < kRows; ++i) {
            LinearInput input(1, k);
            input.prepare({isa, &one}, x.data() + i * k, k, 1, k, pair.format);
            const auto y = run(isa, one, input, w->weight);
            std::copy(y.begin(), y.end(), alone.begin() + i * n);
          }
          const std::string what = std::string(isa_name(isa)) + " " + pair.name + " k " + std::to_string(k);
          LinearInput input(kRows, k);
          for (int threads : {1, 2, 3}) {
            Pool pool(threads);
            for (int64_t m : {1, 2, 3, 4, 5, 6, 7, 8, 9, 33, 133}) {
              input.prepare({isa, &pool}, x.data(), k, m, k, pair.format);
              const auto y = run(isa, pool, input, w->weight);
              ASSERT_TRUE(same_bits(y.data(), alone.data(), m * n)) << what << " rows " << m << " threads " << threads;
            }
            // Lists of rows, several jobs in one region, among them an empty one.
            std::vector<int32_t> rows;
            for (int i = 0; i < 70; ++i) rows.push_back(static_cast<int32_t>(rng() % kRows));
            std::vector<float> y1(static_cast<size_t>(70 * n)), y2(static_cast<size_t>(3 * n));
            const LinearJob jobs[] = {{&w->weight, rows.data(), 70, y1.data(), n},
                                      {&w->weight, rows.data(), 0, nullptr, n},
                                      {&w->weight, rows.data() + 5, 3, y2.data(), n}};
            linear({isa, &pool}, input, jobs);
            for (int64_t i = 0; i < 70; ++i) {
              const float* expected = alone.data() + rows[static_cast<size_t>(i)] * n;
              ASSERT_TRUE(same_bits(y1.data() + i * n, expected, n)) << what;
              if (i >= 5 && i < 8) {
                ASSERT_TRUE(same_bits(y2.data() + (i - 5) * n, expected, n)) << what;
              }
            }
          }
          for (const auto& [m0, m1, n0, n1] : {std::array<int64_t, 4>{0, 1, 0, 1}, {3, 8, 100, 139}, {20, 133, 126, 133}}) {
            std::vector<float> piece(static_cast<size_t>((m1 - m0) * (n1 - n0)));
            linear_range(isa, input, w->weight, m0, m1, n0, n1, piece.data(), n1 - n0);
            for (int64_t i = m0; i < m1; ++i) {
              ASSERT_TRUE(same_bits(piece.data() + (i - m0) * (n1 - n0), alone.data() + i * n + n0, n1 - n0)) << what;
            }
          }
        }
      }
    }
  }
}

// Eight segments are eight linear layers of an eighth of k, added as a tree.
TEST(Linear, SegmentsAreATreeOfEighths) {
  Pool pool(2);
  std::mt19937 rng(4);
  constexpr int64_t kK = 2048, kN = 37, kRows = 9, kPart = kK / 8;
  for (Isa isa : available_isas()) {
    for (const Pair& pair : kPairs) {
      auto w = make_weight(rng, pair.dtype, kN, kK);
      w->weight.n_segments = 8;
      const auto x = make_rows(rng, kRows, kK);
      LinearInput input(kRows, kK);
      input.prepare({isa, &pool}, x.data(), kK, kRows, kK, pair.format);
      const auto y = run(isa, pool, input, w->weight);
      std::vector<std::vector<float>> parts;
      for (int64_t s = 0; s < 8; ++s) {
        TestWeight part;
        const int64_t size = dtype_size(pair.dtype);
        part.memory.resize(static_cast<size_t>(kN * kPart * size));
        for (int64_t n = 0; n < kN; ++n) {
          std::memcpy(part.memory.data() + n * kPart * size,
                      static_cast<const char*>(w->weight.data) + (n * kK + s * kPart) * size,
                      static_cast<size_t>(kPart * size));
        }
        for (int64_t b = 0; b < kPart / 128; ++b) {
          part.scales.push_back(w->scales[static_cast<size_t>(s * kPart / 128 + b)]);
        }
        part.weight = {pair.dtype, kN, kPart, part.memory.data(),
                       pair.dtype == Dtype::kF8E4M3 ? part.scales.data() : nullptr, 1};
        input.prepare({isa, &pool}, x.data() + s * kPart, kK, kRows, kPart, pair.format);
        parts.push_back(run(isa, pool, input, part.weight));
      }
      for (size_t i = 0; i < y.size(); ++i) {
        const auto p = [&](size_t s) { return parts[s][i]; };
        const float tree = ((p(0) + p(1)) + (p(2) + p(3))) + ((p(4) + p(5)) + (p(6) + p(7)));
        ASSERT_EQ(std::bit_cast<uint32_t>(y[i]), std::bit_cast<uint32_t>(tree)) << isa_name(isa) << " " << pair.name;
      }
    }
  }
}

// One product, so that no rounding hides a wrong conversion: every code of the narrow formats.
TEST(Linear, EveryE4m3CodeIsWidenedExactly) {
  Pool pool(1);
  for (Isa isa : available_isas()) {
    for (InputFormat format : {InputFormat::kF32, InputFormat::kBf16ForFp8, InputFormat::kFp8Ue8m0}) {
      for (int64_t m : {1, 9}) {
        for (int64_t position : {0, 5, 40, 63, 64, 100, 127}) {
          std::vector<uint8_t> codes(256 * 128);
          for (int64_t n = 0; n < 256; ++n) codes[static_cast<size_t>(n * 128 + position)] = static_cast<uint8_t>(n);
          const std::vector<float> scales(2, 1.0f);
          const LinearWeight w{Dtype::kF8E4M3, 256, 128, codes.data(), scales.data(), 1};
          std::vector<float> x(static_cast<size_t>(m * 128), 0.0f);
          for (int64_t i = 0; i < m; ++i) x[static_cast<size_t>(i * 128 + position)] = 1.0f;
          LinearInput input(m, 128);
          input.prepare({isa, &pool}, x.data(), 128, m, 128, format);
          const auto y = run(isa, pool, input, w);
          for (int64_t i = 0; i < m * 256; ++i) {
            const float expected = e4m3_to_f32(static_cast<E4M3>(i % 256));
            if (std::isnan(expected)) {
              ASSERT_TRUE(std::isnan(y[static_cast<size_t>(i)])) << isa_name(isa) << " code " << i % 256;
            } else {
              ASSERT_EQ(y[static_cast<size_t>(i)], expected) << isa_name(isa) << " code " << i % 256 << " at " << position;
            }
          }
        }
      }
    }
  }
}

// The kernels of all sets prepare the same values: quantising is exact in every one.
TEST(Linear, PreparedRowsAreTheScalarDefinition) {
  Pool pool(1);
  std::mt19937 rng(5);
  for (Isa isa : available_isas()) {
    for (InputFormat format : {InputFormat::kF32, InputFormat::kBf16, InputFormat::kBf16Rounded, InputFormat::kBf16ForFp8,
                               InputFormat::kFp8, InputFormat::kFp8Ue8m0}) {
      for (int64_t k : {1, 100, 128, 257, 1000}) {
        std::vector<float> x(static_cast<size_t>(k));
        for (int round = 0; round < 40; ++round) {
          for (float& v : x) {
            v = std::bit_cast<float>(static_cast<uint32_t>(rng()));  // any exponent, infinities and NaN aside
            if (!std::isfinite(v) || round < 20) v = draw(rng, static_cast<Values>(round % 5));
          }
          LinearInput input(1, k);
          input.prepare({isa, &pool}, x.data(), k, 1, k, format);
          for (int64_t i = 0; i < round_up(k, 128); ++i) {
            const float value = input.row(0)[i];
            float expected = 0.0f, scale = 1.0f;
            const int64_t b = i / 128 * 128;
            if (format == InputFormat::kFp8 || format == InputFormat::kFp8Ue8m0) {
              float amax = 0;
              for (int64_t j = b; j < std::min(k, b + 128); ++j) amax = std::max(amax, std::fabs(x[static_cast<size_t>(j)]));
              scale = fp8_scale(amax, format == InputFormat::kFp8Ue8m0);
              if (i < k) expected = e4m3_to_f32(f32_to_e4m3(x[static_cast<size_t>(i)] / scale));
            } else if (i < k) {
              expected = format == InputFormat::kF32 ? x[static_cast<size_t>(i)] : round_to_bf16(x[static_cast<size_t>(i)]);
            }
            ASSERT_EQ(std::bit_cast<uint32_t>(value), std::bit_cast<uint32_t>(expected))
                << isa_name(isa) << " format " << static_cast<int>(format) << " k " << k << " i " << i;
            ASSERT_EQ(input.scales(0)[i / 128], scale);
          }
        }
      }
    }
  }
}

TEST(Linear, WeightRowsEqualTheirElements) {
  std::mt19937 rng(6);
  for (Isa isa : available_isas()) {
    for (Dtype dtype : {Dtype::kF32, Dtype::kF16, Dtype::kBF16, Dtype::kF8E4M3}) {
      for (int64_t k : {1, 15, 16, 17, 63, 64, 65, 130, 256, 300}) {
        const auto w = make_weight(rng, dtype, 130, k, Values::kSpiky);
        std::vector<float> row(static_cast<size_t>(k + 1), 7.0f);
        for (int64_t n : {0, 1, 128, 129}) {
          weight_row(isa, w->weight, n, row.data());
          for (int64_t i = 0; i < k; ++i) {
            ASSERT_EQ(row[static_cast<size_t>(i)], static_cast<float>(expected_weight(w->weight, n, i)));
            ASSERT_EQ(weight_at(w->weight, n, i), row[static_cast<size_t>(i)]);
          }
          ASSERT_EQ(row[static_cast<size_t>(k)], 7.0f) << "written past the end";
        }
      }
    }
  }
}

// Weights that end where the next page cannot be read: a kernel that loads past the last element dies here.
TEST(Linear, ReadsNothingBeyondTheWeights) {
  Pool pool(1);
  std::mt19937 rng(7);
  constexpr size_t kPage = 4096, kBytes = 16 * kPage;
  char* memory = static_cast<char*>(mmap(nullptr, kBytes + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(memory, MAP_FAILED);
  ASSERT_EQ(mprotect(memory + kBytes, kPage, PROT_NONE), 0);
  for (Isa isa : available_isas()) {
    for (const Pair& pair : kPairs) {
      for (int64_t k : {1, 3, 17, 33, 70, 129, 200, 257, 1000}) {
        const auto w = make_weight(rng, pair.dtype, 5, k);
        const size_t bytes = static_cast<size_t>(5 * k * dtype_size(pair.dtype));
        std::memcpy(memory + kBytes - bytes, w->weight.data, bytes);
        LinearWeight at_end = w->weight;
        at_end.data = memory + kBytes - bytes;
        const auto x = make_rows(rng, 9, k);
        LinearInput input(9, k);
        for (int64_t m : {1, 3, 9}) {
          input.prepare({isa, &pool}, x.data(), k, m, k, pair.format);
          const auto y = run(isa, pool, input, at_end);
          const auto expected = run(isa, pool, input, w->weight);
          ASSERT_TRUE(same_bits(y.data(), expected.data(), m * 5)) << isa_name(isa) << " " << pair.name << " k " << k;
        }
        std::vector<float> row(static_cast<size_t>(k));
        weight_row(isa, at_end, 4, row.data());
      }
    }
  }
  munmap(memory, kBytes + kPage);
}

// The fused half of a SwiGLU equals its parts; rows are alone in it too.
TEST(LinearGlu, EqualsItsParts) {
  std::mt19937 rng(8);
  constexpr int64_t kRows = 70, kN = 150, kK = 200;
  for (Isa isa : available_isas()) {
    for (const Pair& pair : kPairs) {
      const auto gate = make_weight(rng, pair.dtype, kN, kK);
      const auto up = make_weight(rng, pair.dtype, kN, kK);
      const auto x = make_rows(rng, kRows, kK);
      std::vector<float> first;
      for (int threads : {1, 3}) {
        Pool pool(threads);
        const Compute compute{isa, &pool};
        LinearInput input(kRows, kK);
        input.prepare(compute, x.data(), kK, kRows, kK, pair.format);
        std::vector<float> h(kRows * kN), alone(kN);
        const GluJob whole{&gate->weight, &up->weight, nullptr, kRows, h.data(), kN};
        linear_glu(compute, input, std::span(&whole, 1));
        const auto g = run(isa, pool, input, gate->weight);
        const auto u = run(isa, pool, input, up->weight);
        for (size_t i = 0; i < h.size(); ++i) {
          const double expected = double{g[i]} / (1.0 + std::exp(-double{g[i]})) * u[i];
          // exp within 2^-22, a sum, a division and two products.
          ASSERT_NEAR(h[i], expected, 0x1p-20 * std::fabs(expected)) << isa_name(isa) << " " << pair.name;
        }
        for (int32_t row : {0, 33, 69}) {
          const GluJob job{&gate->weight, &up->weight, &row, 1, alone.data(), kN};
          linear_glu(compute, input, std::span(&job, 1));
          ASSERT_TRUE(same_bits(alone.data(), h.data() + row * kN, kN)) << isa_name(isa) << " " << pair.name;
        }
        if (first.empty()) first = h;
        ASSERT_TRUE(same_bits(first.data(), h.data(), kRows * kN));
      }
    }
  }
}

TEST(Linear, InputFormatFollowsModeAndWeight) {
  EXPECT_EQ(input_format(Activations::kFull, Dtype::kF8E4M3), InputFormat::kF32);
  EXPECT_EQ(input_format(Activations::kBf16, Dtype::kF8E4M3), InputFormat::kBf16ForFp8);
  EXPECT_EQ(input_format(Activations::kBf16, Dtype::kBF16), InputFormat::kBf16);
  EXPECT_EQ(input_format(Activations::kBf16, Dtype::kF16), InputFormat::kBf16Rounded);
  EXPECT_EQ(input_format(Activations::kFp8, Dtype::kBF16), InputFormat::kF32);
  EXPECT_EQ(input_format(Activations::kFp8, Dtype::kF8E4M3), InputFormat::kFp8);
  EXPECT_EQ(input_format(Activations::kFp8Ue8m0, Dtype::kF8E4M3), InputFormat::kFp8Ue8m0);
}

}  // namespace
}  // namespace fathom
