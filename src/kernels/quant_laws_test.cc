// Goal: the bytes of a layer with integer weights depend on nothing but the row and the weights,
// not on the instruction set either, and nothing beyond the weights is read. Method: the same
// product computed in many ways, compared byte by byte with one row at a time by the definition.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <array>
#include <string>

#include "kernels/isa_testing.h"
#include "kernels/quant.h"
#include "kernels/quant_testing.h"

namespace fathom {
namespace {

using namespace linear_testing;
using namespace quant_testing;

std::vector<float> by_definition(const std::vector<float>& x, int64_t m, const LinearWeight& w,
                                 InputFormat format) {
  Pool pool(1);
  std::vector<float> y;
  LinearInput input(1, w.k);
  for (int64_t i = 0; i < m; ++i) {
    input.prepare({Isa::kRef, &pool}, x.data() + i * w.k, w.k, 1, w.k, format);
    const auto row = run(Isa::kRef, pool, input, w);
    y.insert(y.end(), row.begin(), row.end());
  }
  return y;
}

TEST(QuantLaws, EveryWayGivesTheBytesOfTheDefinition) {
  std::mt19937 rng(3);
  constexpr int64_t kRows = 133;
  for (Dtype dtype : kBlockTypes) {
    const InputFormat format = quant_input_format(dtype);
    for (int64_t k : {row_lengths(dtype).back(), int64_t{1024}}) {
      for (int n_segments : {1, 8}) {
        if (k % 1024 != 0 && n_segments != 1) continue;
        const auto w = make_quant(rng, dtype, 75, k, n_segments);
        const int64_t n = w->weight.n;
        const auto x = make_rows(rng, kRows, k, Values::kSpiky);
        const auto alone = by_definition(x, kRows, w->weight, format);
        LinearInput input(kRows, k);
        for (Isa isa : isa_testing::isas_of_long_tests()) {
          const std::string what = std::string(isa_name(isa)) + " " +
                                   std::string(dtype_name(dtype)) + " k " + std::to_string(k) +
                                   " segments " + std::to_string(n_segments);
          Pool pool(2);
          for (int64_t m :
               {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 15, 16, 17, 31, 32, 33, 47, 64, 65, 70, 133}) {
            input.prepare({isa, &pool}, x.data(), k, m, k, format);
            const auto y = run(isa, pool, input, w->weight);
            ASSERT_TRUE(same_bits(y.data(), alone.data(), m * n)) << what << " rows " << m;
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
            if (i < 5 || i >= 8) continue;
            ASSERT_TRUE(same_bits(y2.data() + (i - 5) * n, expected, n)) << what;
          }
          for (const auto& [m0, m1, n0, n1] :
               {std::array<int64_t, 4>{0, 1, 0, 1}, {3, 8, 30, 75}, {20, 133, 66, 71}}) {
            // One column more than asked for, which must stay.
            const int64_t ld = n1 - n0 + 1;
            std::vector<float> piece(static_cast<size_t>((m1 - m0) * ld), 7.0f);
            linear_range(isa, input, w->weight, m0, m1, n0, n1, piece.data(), ld);
            for (int64_t i = m0; i < m1; ++i) {
              const float* row = piece.data() + (i - m0) * ld;
              ASSERT_TRUE(same_bits(row, alone.data() + i * n + n0, n1 - n0)) << what;
              ASSERT_EQ(row[n1 - n0], 7.0f) << what;
            }
          }
        }
      }
    }
  }
}

TEST(QuantLaws, ShapesNearEveryBoundary) {
  Pool pool(1);
  std::mt19937 rng(4);
  for (Dtype dtype : kBlockTypes) {
    const InputFormat format = quant_input_format(dtype);
    for (int64_t k : row_lengths(dtype)) {
      for (int64_t n : {1, 15, 16, 17, 33}) {
        const auto w = make_quant(rng, dtype, n, k);
        const auto x = make_rows(rng, 40, k);
        const auto alone = by_definition(x, 40, w->weight, format);
        LinearInput input(40, k);
        for (Isa isa : available_isas()) {
          for (int64_t m : {1, 13, 40}) {
            input.prepare({isa, &pool}, x.data(), k, m, k, format);
            const auto y = run(isa, pool, input, w->weight);
            ASSERT_TRUE(same_bits(y.data(), alone.data(), m * n))
                << isa_name(isa) << " " << dtype_name(dtype) << " n " << n << " k " << k;
          }
        }
      }
    }
  }
}

// Weights that end where the next page cannot be read.
TEST(QuantLaws, ReadsNothingBeyondTheWeights) {
  Pool pool(1);
  std::mt19937 rng(7);
  constexpr size_t kPage = 4096, kBytes = 16 * kPage;
  char* memory = static_cast<char*>(
      mmap(nullptr, kBytes + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(memory, MAP_FAILED);
  ASSERT_EQ(mprotect(memory + kBytes, kPage, PROT_NONE), 0);
  for (Isa isa : available_isas()) {
    for (Dtype dtype : kBlockTypes) {
      for (int64_t k : row_lengths(dtype)) {
        const auto w = make_quant(rng, dtype, 21, k);
        const auto bytes = static_cast<size_t>(matrix_bytes(dtype, 21, k));
        LinearWeight at_end = w->weight;
        at_end.data = memory + kBytes - bytes;
        std::memcpy(memory + kBytes - bytes, w->weight.data, bytes);
        const auto x = make_rows(rng, 33, k);
        LinearInput input(33, k);
        for (int64_t m : {1, 33}) {
          input.prepare({isa, &pool}, x.data(), k, m, k, quant_input_format(dtype));
          const auto y = run(isa, pool, input, at_end);
          const auto expected = run(isa, pool, input, w->weight);
          ASSERT_TRUE(same_bits(y.data(), expected.data(), m * 21))
              << isa_name(isa) << " " << dtype_name(dtype) << " k " << k;
        }
      }
    }
  }
  munmap(memory, kBytes + kPage);
}

// Inputs that are not INT8 take the weights as F32.
TEST(QuantLaws, WiderInputsTakeTheWeightsAsF32) {
  Pool pool(2);
  std::mt19937 rng(8);
  constexpr int64_t kN = 50, kRows = 12;
  for (Isa isa : available_isas()) {
    for (Dtype dtype : kBlockTypes) {
      const int64_t k = row_lengths(dtype).back();
      const auto w = make_quant(rng, dtype, kN, k);
      std::vector<float> wide(static_cast<size_t>(kN * k));
      for (int64_t n = 0; n < kN; ++n) weight_row(isa, w->weight, n, wide.data() + n * k);
      const LinearWeight as_f32{Dtype::kF32, kN, k, wide.data(), nullptr, 1};
      const auto x = make_rows(rng, kRows, k);
      LinearInput input(kRows, k);
      for (InputFormat format : {InputFormat::kF32, InputFormat::kBf16Rounded}) {
        for (int64_t m : {int64_t{1}, kRows}) {
          input.prepare({isa, &pool}, x.data(), k, m, k, format);
          const auto y = run(isa, pool, input, w->weight);
          const auto expected = run(isa, pool, input, as_f32);
          ASSERT_TRUE(same_bits(y.data(), expected.data(), m * kN))
              << isa_name(isa) << " " << dtype_name(dtype);
        }
      }
    }
  }
}

TEST(QuantLaws, GluEqualsItsParts) {
  std::mt19937 rng(9);
  constexpr int64_t kRows = 70, kN = 150, kK = 256;
  for (Isa isa : available_isas()) {
    for (Dtype dtype : kBlockTypes) {
      const auto gate = make_quant(rng, dtype, kN, kK);
      const auto up = make_quant(rng, dtype, kN, kK);
      const auto x = make_rows(rng, kRows, kK);
      Pool pool(2);
      LinearInput input(kRows, kK);
      input.prepare({isa, &pool}, x.data(), kK, kRows, kK, quant_input_format(dtype));
      std::vector<float> h(kRows * kN);
      const GluJob whole{&gate->weight, &up->weight, nullptr, kRows, h.data(), kN};
      linear_glu({isa, &pool}, input, std::span(&whole, 1));
      const auto g = run(isa, pool, input, gate->weight);
      const auto u = run(isa, pool, input, up->weight);
      for (size_t i = 0; i < h.size(); ++i) {
        const double expected = double{g[i]} / (1.0 + std::exp(-double{g[i]})) * u[i];
        // As in LinearGlu; large negative gates end at zero.
        ASSERT_NEAR(h[i], expected, 0x1p-20 * std::fabs(expected) + 0x1p-100)
            << isa_name(isa) << " " << dtype_name(dtype);
      }
    }
  }
}

}  // namespace
}  // namespace fathom
