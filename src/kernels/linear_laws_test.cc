// Goal: the bytes of a linear layer depend on nothing but the row, the weights and the instruction
// set, and nothing beyond the weights is read. Method: the same product computed in many ways,
// compared byte by byte.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <string>

#include "base/math.h"
#include "kernels/isa_testing.h"
#include "kernels/linear_testing.h"

namespace fathom {
namespace {

using namespace linear_testing;

// A row's bytes: alone, among any number of others, chosen by a list, with any number of threads,
// in pieces.
TEST(Linear, RowIsAlone) {
  std::mt19937 rng(3);
  constexpr int64_t kRows = 133;
  for (Isa isa : isa_testing::isas_of_long_tests()) {
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
          const std::string what =
              std::string(isa_name(isa)) + " " + pair.name + " k " + std::to_string(k);
          LinearInput input(kRows, k);
          for (int threads : {1, 2, 3}) {
            Pool pool(threads);
            for (int64_t m : {1, 2, 3, 4, 5, 6, 7, 8, 9, 33, 133}) {
              input.prepare({isa, &pool}, x.data(), k, m, k, pair.format);
              const auto y = run(isa, pool, input, w->weight);
              ASSERT_TRUE(same_bits(y.data(), alone.data(), m * n))
                  << what << " rows " << m << " threads " << threads;
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
          for (const auto& [m0, m1, n0, n1] :
               {std::array<int64_t, 4>{0, 1, 0, 1}, {3, 8, 100, 139}, {20, 133, 126, 133}}) {
            std::vector<float> piece(static_cast<size_t>((m1 - m0) * (n1 - n0)));
            linear_range(isa, input, w->weight, m0, m1, n0, n1, piece.data(), n1 - n0);
            for (int64_t i = m0; i < m1; ++i) {
              ASSERT_TRUE(same_bits(piece.data() + (i - m0) * (n1 - n0), alone.data() + i * n + n0,
                                    n1 - n0))
                  << what;
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
        part.weight = {pair.dtype,
                       kN,
                       kPart,
                       part.memory.data(),
                       pair.dtype == Dtype::kF8E4M3 ? part.scales.data() : nullptr,
                       1};
        input.prepare({isa, &pool}, x.data() + s * kPart, kK, kRows, kPart, pair.format);
        parts.push_back(run(isa, pool, input, part.weight));
      }
      for (size_t i = 0; i < y.size(); ++i) {
        const auto p = [&](size_t s) { return parts[s][i]; };
        const float tree = ((p(0) + p(1)) + (p(2) + p(3))) + ((p(4) + p(5)) + (p(6) + p(7)));
        ASSERT_EQ(std::bit_cast<uint32_t>(y[i]), std::bit_cast<uint32_t>(tree))
            << isa_name(isa) << " " << pair.name;
      }
    }
  }
}

// Weights that end where the next page cannot be read: a kernel that loads past the last element
// dies here.
TEST(Linear, ReadsNothingBeyondTheWeights) {
  Pool pool(1);
  std::mt19937 rng(7);
  constexpr size_t kPage = 4096, kBytes = 16 * kPage;
  char* memory = static_cast<char*>(
      mmap(nullptr, kBytes + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
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
          ASSERT_TRUE(same_bits(y.data(), expected.data(), m * 5))
              << isa_name(isa) << " " << pair.name << " k " << k;
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
          ASSERT_NEAR(h[i], expected, 0x1p-20 * std::fabs(expected))
              << isa_name(isa) << " " << pair.name;
        }
        for (int32_t row : {0, 33, 69}) {
          const GluJob job{&gate->weight, &up->weight, &row, 1, alone.data(), kN};
          linear_glu(compute, input, std::span(&job, 1));
          ASSERT_TRUE(same_bits(alone.data(), h.data() + row * kN, kN))
              << isa_name(isa) << " " << pair.name;
        }
        if (first.empty()) first = h;
        ASSERT_TRUE(same_bits(first.data(), h.data(), kRows * kN));
      }
    }
  }
}

// A product as the documents have it, of element m of x and n of w: sum(x, w, scale) gives it for
// all of k, scale(k0) being what a block of 128 is promoted with.
template <class Sum>
void expect_documented_order(Isa isa, const Sum& sum) {
  std::mt19937 rng(8);
  Pool pool(1);
  // More than a chunk of k, and rows for the panel too.
  constexpr int64_t kRows = 11, kColumns = 9, kK = 2300;
  const auto x = make_rows(rng, kRows, kK);
  for (const Pair& pair : {Pair{Dtype::kBF16, InputFormat::kBf16, "BF16"},
                           Pair{Dtype::kF8E4M3, InputFormat::kFp8, "F8"}}) {
    const auto w = make_weight(rng, pair.dtype, kColumns, kK);
    LinearInput input(kRows, kK);
    input.prepare({isa, &pool}, x.data(), kK, kRows, kK, pair.format);
    const auto y = run(isa, pool, input, w->weight);
    const bool promote = pair.dtype == Dtype::kF8E4M3;
    for (int64_t m = 0; m < kRows; ++m) {
      for (int64_t n = 0; n < kColumns; ++n) {
        std::vector<float> xs(round_up(kK, 128)), ws(xs.size()), scales;
        for (int64_t k = 0; k < kK; ++k) {
          const float scale = promote ? w->weight.scale_inv[k / 128] : 1.0f;
          const float weight = weight_at(w->weight, n, k) / scale;
          xs[static_cast<size_t>(k)] = input.value(m, k);
          ws[static_cast<size_t>(k)] = promote ? round_to_bf16(weight) : weight;
          if (promote && k % 128 == 0) scales.push_back(input.scales(m)[k / 128] * scale);
        }
        ASSERT_EQ(y[static_cast<size_t>(m * kColumns + n)], sum(xs, ws, scales))
            << pair.name << " " << m << " " << n;
      }
    }
  }
}

bool has(Isa isa) {
  const auto& isas = available_isas();
  return std::find(isas.begin(), isas.end(), isa) != isas.end();
}

// The tiles' own order: in each 32 of k the even and the odd ones in two chains from zero, their
// sum added to what was there; E4M3 blocks of 128 promoted.
TEST(Linear, TilesAddAsDocumented) {
  if (!has(Isa::kAmx)) GTEST_SKIP() << "no tiles here";
  using Floats = std::vector<float>;
  expect_documented_order(Isa::kAmx, [](const Floats& x, const Floats& w, const Floats& scales) {
    float sum = 0.0f, running = 0.0f;
    for (size_t k0 = 0; k0 < x.size(); k0 += 32) {
      float chain[2] = {};
      for (size_t k = k0; k < k0 + 32; ++k) chain[k % 2] = std::fma(x[k], w[k], chain[k % 2]);
      sum += chain[0] + chain[1];
      if (!scales.empty() && k0 % 128 == 96) {
        running = std::fma(sum, scales[k0 / 128], running);
        sum = 0.0f;
      }
    }
    return scales.empty() ? sum : running;
  });
}

// VDPBF16PS: lane l adds the pairs (2 l, 2 l + 1) of each 32 of k, the odd product first; blocks
// are promoted lane by lane, then halves are added.
TEST(Linear, PairsAddAsDocumented) {
  if (!has(Isa::kAvx512Bf16)) GTEST_SKIP() << "no fast pairs here";
  using Floats = std::vector<float>;
  expect_documented_order(
      Isa::kAvx512Bf16, [](const Floats& x, const Floats& w, const Floats& scales) {
        float sums[16] = {}, running[16] = {};
        for (size_t k0 = 0; k0 < x.size(); k0 += 32) {
          for (size_t lane = 0; lane < 16; ++lane) {
            const size_t k = k0 + 2 * lane;
            sums[lane] = std::fma(x[k], w[k], std::fma(x[k + 1], w[k + 1], sums[lane]));
          }
          if (scales.empty() || k0 % 128 != 96) continue;
          for (size_t lane = 0; lane < 16; ++lane) {
            running[lane] = std::fma(sums[lane], scales[k0 / 128], running[lane]);
            sums[lane] = 0.0f;
          }
        }
        float* lanes = scales.empty() ? sums : running;
        for (int half = 8; half > 0; half /= 2) {
          for (int lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
        }
        return lanes[0];
      });
}

}  // namespace
}  // namespace fathom
