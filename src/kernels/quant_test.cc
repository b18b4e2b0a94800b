// Goal: integer weights mean what their formats say, and layers with them compute the formula.
// Method: values of the packed formats from their description here, of the GGUF types from the gguf
// package of Python (testdata/quant); products in double.
#include "kernels/quant.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <fstream>
#include <string>

#include "base/math.h"
#include "kernels/linear_table.h"
#include "kernels/quant_args.h"
#include "kernels/quant_testing.h"

namespace fathom {
namespace {

using namespace linear_testing;
using namespace quant_testing;

// Of kBlockTypes, in their order.
constexpr QuantType kQuantTypes[] = {
    QuantType::kInt8, QuantType::kInt4, QuantType::kQ8_0, QuantType::kQ4_0, QuantType::kQ4_1,
    QuantType::kQ5_0, QuantType::kQ5_1, QuantType::kQ4_K, QuantType::kQ5_K, QuantType::kQ6_K};

TEST(Quant, FormatsAgreeWithTheirDtypes) {
  for (size_t i = 0; i < std::size(kQuantTypes); ++i) {
    const DtypeBlock block = dtype_block(kBlockTypes[i]);
    const QuantFormat format = quant_format(kQuantTypes[i]);
    EXPECT_EQ(block.cols, format.block);
    EXPECT_EQ(block.bytes, format.block_bytes);
    EXPECT_EQ(block.rows, format.packed ? kPanelWidth : 1);
  }
}

TEST(Quant, PackedElementsAreWhereTheFormatSays) {
  std::mt19937 rng(1);
  constexpr int64_t kN = 37, kK = 200;
  for (Dtype dtype : {Dtype::kInt8, Dtype::kInt4}) {
    const auto w = make_quant(rng, dtype, kN, kK);
    const DtypeBlock block = dtype_block(dtype);
    const auto* data = static_cast<const unsigned char*>(w->weight.data);
    for (int64_t n = 0; n < kN; ++n) {
      for (int64_t k = 0; k < kK; ++k) {
        const unsigned char* b =
            data + (n / 16 * ceil_div(kK, block.cols) + k / block.cols) * block.bytes;
        const int64_t lane = n % 16, column = k % block.cols;
        float expected = 0.0f;
        if (dtype == Dtype::kInt8) {
          float scale = 0.0f;
          std::memcpy(&scale, b + 4 * lane, 4);
          const int code = b[64 + column / 4 * 64 + lane * 4 + column % 4];
          expected = scale * static_cast<float>(code - 128);
        } else {
          uint16_t scale = 0, minimum = 0;
          std::memcpy(&scale, b + 2 * lane, 2);
          std::memcpy(&minimum, b + 32 + 2 * lane, 2);
          const int byte = b[64 + column % 32 / 4 * 64 + lane * 4 + column % 4];
          const float product =
              f16_to_f32(scale) * static_cast<float>(column < 32 ? byte & 15 : byte >> 4);
          expected = product - f16_to_f32(minimum);
        }
        ASSERT_EQ(weight_at(w->weight, n, k), expected) << dtype_name(dtype) << n << " " << k;
      }
    }
  }
}

TEST(Quant, GgufBlocksHaveTheValuesOfItsOwnPackage) {
  std::ifstream file(FATHOM_TESTDATA "/quant/gguf_blocks.bin", std::ios::binary);
  ASSERT_TRUE(file) << "testdata/quant/gguf_blocks.bin";
  for (Dtype dtype : {Dtype::kQ8_0, Dtype::kQ4_0, Dtype::kQ4_K, Dtype::kQ5_K, Dtype::kQ6_K,
                      Dtype::kQ4_1, Dtype::kQ5_0, Dtype::kQ5_1}) {
    constexpr int64_t kN = 2, kK = 256;
    std::vector<char> blocks(static_cast<size_t>(matrix_bytes(dtype, kN, kK)));
    std::vector<float> values(kN * kK), row(kK);
    file.read(blocks.data(), static_cast<std::streamsize>(blocks.size()));
    file.read(reinterpret_cast<char*>(values.data()), kN * kK * 4);
    ASSERT_TRUE(file) << dtype_name(dtype);
    const LinearWeight w{dtype, kN, kK, blocks.data(), nullptr, 1};
    for (int64_t n = 0; n < kN; ++n) {
      weight_row(Isa::kRef, w, n, row.data());
      for (int64_t k = 0; k < kK; ++k) {
        ASSERT_EQ(row[static_cast<size_t>(k)], values[static_cast<size_t>(n * kK + k)])
            << dtype_name(dtype) << " row " << n << " column " << k;
      }
    }
  }
}

TEST(Quant, RowsThatAreWidenedTogetherEqualThoseAlone) {
  std::mt19937 rng(5);
  int n_checked = 0;
  for (const Isa isa : available_isas()) {
    const auto widen = linear_kernels(isa).quant_widen;
    if (widen == nullptr) continue;
    for (Dtype dtype : kBlockTypes) {
      for (const int64_t k : row_lengths(dtype)) {
        constexpr int64_t kN = 37;  // the last panel has 5 rows
        const auto w = make_quant(rng, dtype, kN, k);
        const DtypeBlock block = dtype_block(dtype);
        QuantRange args;
        args.type = kQuantTypes[std::find(std::begin(kBlockTypes), std::end(kBlockTypes), dtype) -
                                std::begin(kBlockTypes)];
        args.w = static_cast<const char*>(w->weight.data);
        args.w_stride = ceil_div(k, block.cols) * block.bytes;
        args.k = k;
        args.n_end = kN;
        const int64_t ld = k + 3;
        for (int64_t n = 0; n < kN; n += 16) {
          std::vector<float> rows(static_cast<size_t>(16 * ld), 7.0f), row(static_cast<size_t>(k));
          widen(args, n, rows.data(), ld);
          for (int64_t i = 0; i < std::min<int64_t>(16, kN - n); ++i) {
            weight_row(Isa::kRef, w->weight, n + i, row.data());
            for (int64_t c = 0; c < k; ++c)
              ASSERT_EQ(rows[static_cast<size_t>(i * ld + c)], row[static_cast<size_t>(c)])
                  << dtype_name(dtype) << " k " << k << " row " << n + i << " column " << c;
            ASSERT_EQ(rows[static_cast<size_t>(i * ld + k)], 7.0f) << "written past the end";
          }
          ++n_checked;
        }
      }
    }
  }
  if (n_checked == 0) GTEST_SKIP() << "no set here widens rows together";
}

TEST(Quant, WeightRowsEqualTheirElements) {
  std::mt19937 rng(2);
  for (Dtype dtype : kBlockTypes) {
    for (int64_t k : row_lengths(dtype)) {
      const auto w = make_quant(rng, dtype, 18, k);
      std::vector<float> row(static_cast<size_t>(k + 1), 7.0f);
      for (int64_t n : {0, 15, 17}) {
        weight_row(available_isas().back(), w->weight, n, row.data());
        for (int64_t i = 0; i < k; ++i)
          ASSERT_EQ(weight_at(w->weight, n, i), row[static_cast<size_t>(i)]) << dtype_name(dtype);
        ASSERT_EQ(row[static_cast<size_t>(k)], 7.0f) << "written past the end";
      }
    }
  }
}

// What a row is after preparation; scales[k], in double as codes times scales.
struct Int8Row {
  std::vector<int> codes;
  std::vector<float> scales;
};
Int8Row int8_row(const float* x, int64_t k, int64_t tile) {
  Int8Row row;
  for (int64_t b = 0; b < k; b += tile) {
    float amax = 0.0f;
    for (int64_t i = b; i < std::min(k, b + tile); ++i) amax = std::max(amax, std::fabs(x[i]));
    const float scale = amax / 127.0f;
    for (int64_t i = b; i < std::min(k, b + tile); ++i) {
      const float code = scale == 0.0f ? 0.0f : std::nearbyint(x[i] / scale);
      row.codes.push_back(static_cast<int>(std::clamp(code, -127.0f, 127.0f)));
      row.scales.push_back(scale);
    }
  }
  return row;
}

TEST(Quant, PreparedRowsAreTheDefinition) {
  Pool pool(1);
  std::mt19937 rng(3);
  for (Isa isa : available_isas()) {
    for (InputFormat format : {InputFormat::kInt8Tiles128, InputFormat::kInt8Tiles64,
                               InputFormat::kInt8Tiles32, InputFormat::kInt8Tiles16}) {
      const int64_t tile = input_tile(format);
      for (int64_t k : {1, 17, 64, 100, 128, 257, 1000}) {
        for (int round = 0; round < 20; ++round) {
          auto x = make_rows(rng, 1, k, static_cast<Values>(round % 5));
          if (round >= 15) {  // any finite value, the smallest included
            for (float& v : x) {
              v = std::bit_cast<float>(static_cast<uint32_t>(rng()) >> (round == 15 ? 9 : 0));
              if (!std::isfinite(v)) v = 0.0f;
            }
          }
          LinearInput input(1, k);
          input.prepare({isa, &pool}, x.data(), k, 1, k, format);
          const Int8Row expected = int8_row(x.data(), k, tile);
          std::vector<int> sums(static_cast<size_t>(input.scale_stride()), 0);
          for (int64_t i = 0; i < round_up(k, 128); ++i) {
            const int code = i < k ? expected.codes[static_cast<size_t>(i)] : 0;
            ASSERT_EQ(input.codes(0)[i], code)
                << isa_name(isa) << " tile " << tile << " k " << k << " i " << i;
            sums[static_cast<size_t>(i / tile)] += code;
            if (i < k) {
              ASSERT_EQ(input.scales(0)[i / tile], expected.scales[static_cast<size_t>(i)]);
            }
          }
          for (int64_t t = 0; t < input.scale_stride(); ++t)
            ASSERT_EQ(input.code_sums(0)[t], sums[static_cast<size_t>(t)]);
        }
      }
    }
  }
}

TEST(Quant, ATileThatIsNotFiniteMakesItsRowNan) {
  Pool pool(1);
  std::mt19937 rng(4);
  for (Isa isa : available_isas()) {
    for (Dtype dtype : kBlockTypes) {
      const auto w = make_quant(rng, dtype, 20, 256);
      for (float bad : {std::nanf(""), HUGE_VALF, -HUGE_VALF}) {
        auto x = make_rows(rng, 2, 256);
        x[256 + 77] = bad;
        LinearInput input(2, 256);
        input.prepare({isa, &pool}, x.data(), 256, 2, 256, quant_input_format(dtype));
        const auto y = run(isa, pool, input, w->weight);
        for (size_t n = 0; n < 20; ++n) {
          ASSERT_TRUE(std::isfinite(y[n])) << isa_name(isa) << dtype_name(dtype);
          ASSERT_TRUE(std::isnan(y[20 + n])) << isa_name(isa) << dtype_name(dtype);
        }
      }
    }
  }
}

TEST(Quant, EqualsTheFormula) {
  Pool pool(2);
  std::mt19937 rng(5);
  constexpr int64_t kN = 37, kRows = 5;
  for (Isa isa : available_isas()) {
    for (Dtype dtype : kBlockTypes) {
      for (int64_t k : row_lengths(dtype)) {
        const auto w = make_quant(rng, dtype, kN, k);
        const auto x = make_rows(rng, kRows, k);
        const InputFormat format = quant_input_format(dtype);
        LinearInput input(kRows, k);
        input.prepare({isa, &pool}, x.data(), k, kRows, k, format);
        const auto y = run(isa, pool, input, w->weight);
        for (int64_t i = 0; i < kRows; ++i) {
          const Int8Row row = int8_row(x.data() + i * k, k, input_tile(format));
          for (int64_t n = 0; n < kN; ++n) {
            double sum = 0, magnitude = 0;
            for (int64_t c = 0; c < k; ++c) {
              const auto at = static_cast<size_t>(c);
              const double value = double{row.scales[at]} * row.codes[at];
              sum += value * weight_at(w->weight, n, c);
              // A minimum is added apart, so what cancels in w counts whole: |w| <= 2 * 31 scales.
              magnitude += std::fabs(value) * 1.5;
            }
            // Of a group: two products of scales, two fma, and two roundings of each weight here.
            const double groups = static_cast<double>(ceil_div(k, 16));
            ASSERT_NEAR(y[static_cast<size_t>(i * kN + n)], sum, (groups + 6) * 0x1p-23 * magnitude)
                << isa_name(isa) << " " << dtype_name(dtype) << " k " << k;
          }
        }
      }
    }
  }
}

TEST(Quant, InputFormatFollowsTheGroup) {
  EXPECT_EQ(input_format(Activations::kInt8, Dtype::kInt8), InputFormat::kInt8Tiles128);
  EXPECT_EQ(input_format(Activations::kInt8, Dtype::kInt4), InputFormat::kInt8Tiles64);
  EXPECT_EQ(input_format(Activations::kInt8, Dtype::kQ8_0), InputFormat::kInt8Tiles32);
  EXPECT_EQ(input_format(Activations::kInt8, Dtype::kQ4_0), InputFormat::kInt8Tiles32);
  EXPECT_EQ(input_format(Activations::kInt8, Dtype::kQ4_K), InputFormat::kInt8Tiles32);
  EXPECT_EQ(input_format(Activations::kInt8, Dtype::kQ5_K), InputFormat::kInt8Tiles32);
  EXPECT_EQ(input_format(Activations::kInt8, Dtype::kQ6_K), InputFormat::kInt8Tiles16);
  for (Dtype dtype : {Dtype::kF32, Dtype::kF16, Dtype::kBF16, Dtype::kF8E4M3})
    EXPECT_EQ(input_format(Activations::kInt8, dtype), InputFormat::kF32);
  EXPECT_EQ(input_format(Activations::kBf16, Dtype::kQ4_K), InputFormat::kBf16Rounded);
  EXPECT_EQ(input_format(Activations::kFull, Dtype::kInt8), InputFormat::kF32);
  EXPECT_EQ(input_format(Activations::kFp8, Dtype::kInt4), InputFormat::kF32);
}

}  // namespace
}  // namespace fathom
