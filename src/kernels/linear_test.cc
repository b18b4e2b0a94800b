// Goal: every linear kernel computes y = x w^T within the rounding that its order allows, and
// converts every value exactly. Method: formulas in double in this file. Every instruction set of
// the machine runs.
#include "kernels/linear.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>

#include "base/math.h"
#include "kernels/linear_testing.h"

namespace fathom {
namespace {

using namespace linear_testing;

// What a row is after preparation: values times scales, in double; by the formulas of the
// specification.
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
    case Dtype::kF32:
      std::memcpy(&single, data, 4);
      return single;
    case Dtype::kF16:
      std::memcpy(&half, data, 2);
      return f16_to_f32(half);
    case Dtype::kBF16:
      std::memcpy(&half, data, 2);
      return bf16_to_f32(half);
    default:
      break;
  }
  return double{e4m3_to_f32(static_cast<E4M3>(*data))} *
         w.scale_inv[n / 128 * ceil_div(w.k, 128) + k / 128];
}

void expect_close(Isa isa, const Pair& pair, const LinearWeight& w, const std::vector<float>& x,
                  int64_t m, const std::vector<float>& y, const std::string& what) {
  // Each product passes through at most ceil(k / 8) + 6 roundings (eight lanes are the fewest),
  // 2^-24 each, plus two for the promotion of a block; products of pairs may be flushed below the
  // smallest normal.
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
      const double tolerance =
          roundings * 0x1p-24 * magnitude + static_cast<double>(w.k) * 0x1p-120;
      ASSERT_NEAR(y[static_cast<size_t>(i * w.n + n)], sum, tolerance)
          << isa_name(isa) << " " << pair.name << " " << what << " k " << w.k << " row " << i
          << " column " << n;
    }
  }
}

TEST(Linear, EqualsTheFormula) {
  Pool pool(2);
  std::mt19937 rng(1);
  for (Isa isa : available_isas()) {
    for (const Pair& pair : kPairs) {
      for (int64_t k :
           {1, 7, 31, 32, 33, 63, 64, 65, 127, 128, 129, 144, 160, 192, 255, 256, 257, 1031}) {
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
        ASSERT_NO_FATAL_FAILURE(expect_close(isa, pair, w->weight, x, 5,
                                             run(isa, pool, input, w->weight),
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

// One product, so that no rounding hides a wrong conversion: every code of the narrow formats.
TEST(Linear, EveryE4m3CodeIsWidenedExactly) {
  Pool pool(1);
  for (Isa isa : available_isas()) {
    for (InputFormat format :
         {InputFormat::kF32, InputFormat::kBf16ForFp8, InputFormat::kFp8Ue8m0}) {
      for (int64_t m : {1, 9}) {
        for (int64_t position : {0, 5, 40, 63, 64, 100, 127}) {
          std::vector<uint8_t> codes(256 * 128);
          for (int64_t n = 0; n < 256; ++n)
            codes[static_cast<size_t>(n * 128 + position)] = static_cast<uint8_t>(n);
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
              ASSERT_TRUE(std::isnan(y[static_cast<size_t>(i)]))
                  << isa_name(isa) << " code " << i % 256;
            } else {
              ASSERT_EQ(y[static_cast<size_t>(i)], expected)
                  << isa_name(isa) << " code " << i % 256 << " at " << position;
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
    for (InputFormat format :
         {InputFormat::kF32, InputFormat::kBf16, InputFormat::kBf16Rounded,
          InputFormat::kBf16ForFp8, InputFormat::kFp8, InputFormat::kFp8Ue8m0}) {
      for (int64_t k : {1, 100, 128, 257, 1000}) {
        std::vector<float> x(static_cast<size_t>(k));
        for (int round = 0; round < 40; ++round) {
          for (float& v : x) {
            v = std::bit_cast<float>(
                static_cast<uint32_t>(rng()));  // any exponent, infinities and NaN aside
            if (!std::isfinite(v) || round < 20) v = draw(rng, static_cast<Values>(round % 5));
          }
          LinearInput input(1, k);
          input.prepare({isa, &pool}, x.data(), k, 1, k, format);
          for (int64_t i = 0; i < round_up(k, 128); ++i) {
            const float value = input.value(0, i);
            float expected = 0.0f, scale = 1.0f;
            const int64_t b = i / 128 * 128;
            if (format == InputFormat::kFp8 || format == InputFormat::kFp8Ue8m0) {
              float amax = 0;
              for (int64_t j = b; j < std::min(k, b + 128); ++j)
                amax = std::max(amax, std::fabs(x[static_cast<size_t>(j)]));
              scale = fp8_scale(amax, format == InputFormat::kFp8Ue8m0);
              if (i < k) expected = e4m3_to_f32(f32_to_e4m3(x[static_cast<size_t>(i)] / scale));
            } else if (i < k) {
              expected = format == InputFormat::kF32 ? x[static_cast<size_t>(i)]
                                                     : round_to_bf16(x[static_cast<size_t>(i)]);
            }
            ASSERT_EQ(std::bit_cast<uint32_t>(value), std::bit_cast<uint32_t>(expected))
                << isa_name(isa) << " format " << static_cast<int>(format) << " k " << k << " i "
                << i;
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
            ASSERT_EQ(row[static_cast<size_t>(i)],
                      static_cast<float>(expected_weight(w->weight, n, i)));
            ASSERT_EQ(weight_at(w->weight, n, i), row[static_cast<size_t>(i)]);
          }
          ASSERT_EQ(row[static_cast<size_t>(k)], 7.0f) << "written past the end";
        }
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
