// Goal: the bytes of packed blocks are those of the format, errors are within its bounds, and the
// search is worth its time. Method: blocks are read by formulas written here.
#include "tensor/packed.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "tensor/numeric.h"

namespace fathom {
namespace {

using Block = std::vector<std::byte>;

Block packed(Dtype dtype, const std::vector<float>& w, int64_t n_rows, int64_t n_cols,
             Int4Fit fit = Int4Fit::kSearched) {
  Block block(static_cast<size_t>(dtype_block(dtype).bytes), std::byte{0xee});
  EXPECT_TRUE(pack_block(dtype, w.data(), n_cols, n_rows, n_cols, block.data(), fit));
  return block;
}

// Roughly normal, from a fixed sequence.
std::vector<float> normal(size_t n, float deviation, uint32_t seed) {
  std::vector<float> out(n);
  for (float& x : out) {
    float sum = 0;
    for (int i = 0; i < 12; ++i) {
      seed = seed * 1664525 + 1013904223;
      sum += static_cast<float>(seed >> 8) * 0x1p-24f;
    }
    x = (sum - 6) * deviation;
  }
  return out;
}

template <typename T>
T read(const Block& block, size_t offset) {
  T value;
  std::memcpy(&value, block.data() + offset, sizeof value);
  return value;
}

double squared_error(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
  return sum;
}

std::vector<float> unpacked(Dtype dtype, const Block& block, int64_t n_rows, int64_t n_cols) {
  std::vector<float> w(static_cast<size_t>(n_rows * n_cols));
  unpack_block(dtype, block.data(), n_rows, n_cols, w.data(), n_cols);
  return w;
}

TEST(Packed, Int8IsScalesThenCodesInQuadsOfAllRows) {
  const std::vector<float> w = normal(16 * 128, 0.02f, 1);
  const Block block = packed(Dtype::kInt8, w, 16, 128);
  ASSERT_EQ(block.size(), 2112u);
  for (size_t r = 0; r < 16; ++r) {
    float amax = 0;
    for (size_t c = 0; c < 128; ++c) amax = std::max(amax, std::fabs(w[r * 128 + c]));
    const float scale = read<float>(block, r * 4);
    EXPECT_EQ(scale, amax / 127);
    for (size_t c = 0; c < 128; ++c) {
      const auto code = std::to_integer<int>(block[64 + c / 4 * 64 + r * 4 + c % 4]);
      EXPECT_EQ(code, static_cast<int>(std::nearbyint(w[r * 128 + c] / scale)) + 128);
    }
  }
  const std::vector<float> back = unpacked(Dtype::kInt8, block, 16, 128);
  for (size_t i = 0; i < w.size(); ++i) {
    EXPECT_LE(std::fabs(back[i] - w[i]), 0.5001f * read<float>(block, i / 128 * 4));
  }
}

TEST(Packed, Int4IsScalesMinimaThenCodesOfTwoHalvesInNibbles) {
  const std::vector<float> w = normal(16 * 64, 0.02f, 2);
  const Block block = packed(Dtype::kInt4, w, 16, 64);
  ASSERT_EQ(block.size(), 576u);
  const std::vector<float> back = unpacked(Dtype::kInt4, block, 16, 64);
  for (size_t r = 0; r < 16; ++r) {
    const float scale = f16_to_f32(read<F16>(block, r * 2));
    const float min = f16_to_f32(read<F16>(block, 32 + r * 2));
    for (size_t c = 0; c < 64; ++c) {
      const auto line = (c % 32) / 4;
      const auto byte = std::to_integer<int>(block[64 + line * 64 + r * 4 + c % 4]);
      const int code = c < 32 ? byte & 15 : byte >> 4;
      EXPECT_EQ(back[r * 64 + c], scale * static_cast<float>(code) - min);
      // The nearest code there is.
      const float exact = (w[r * 64 + c] + min) / scale;
      EXPECT_LE(std::fabs(static_cast<float>(code) - std::min(15.0f, std::max(0.0f, exact))),
                0.501f);
    }
  }
}

TEST(Packed, WhatIsMissingOfABlockIsZero) {
  for (const Dtype dtype : {Dtype::kInt8, Dtype::kInt4}) {
    const std::vector<float> w = normal(5 * 7, 1, 3);
    const Block block = packed(dtype, w, 5, 7);
    const int64_t cols = dtype_block(dtype).cols;
    const std::vector<float> back = unpacked(dtype, block, 16, cols);
    for (int64_t r = 0; r < 16; ++r) {
      for (int64_t c = 0; c < cols; ++c) {
        const float value = back[static_cast<size_t>(r * cols + c)];
        const bool zero = r >= 5 || (c >= 7 && dtype == Dtype::kInt8);
        EXPECT_TRUE(value == 0 || !zero) << r << " " << c;
      }
    }
    EXPECT_LT(squared_error(unpacked(dtype, block, 5, 7), w), 0.02 * 35);
  }
}

TEST(Packed, RowsOfTheSameValuesHaveTheSameCodesWhereverTheyStand) {
  std::vector<float> w = normal(16 * 64, 0.1f, 4);
  for (size_t r = 1; r < 16; ++r) std::copy_n(w.begin(), 64, w.begin() + static_cast<long>(64 * r));
  const std::vector<float> all = unpacked(Dtype::kInt4, packed(Dtype::kInt4, w, 16, 64), 16, 64);
  w.resize(64);
  const std::vector<float> one = unpacked(Dtype::kInt4, packed(Dtype::kInt4, w, 1, 64), 1, 64);
  for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i], one[i % 64]);
}

TEST(Packed, TheSearchBeatsTheRangeAlone) {
  double plain = 0, searched = 0;
  for (uint32_t seed = 0; seed < 50; ++seed) {
    const std::vector<float> w = normal(16 * 64, 0.02f, 100 + seed);
    const auto error = [&](Int4Fit fit) {
      return squared_error(unpacked(Dtype::kInt4, packed(Dtype::kInt4, w, 16, 64, fit), 16, 64), w);
    };
    plain += error(Int4Fit::kMinMax);
    searched += error(Int4Fit::kSearched);
  }
  EXPECT_LT(searched, 0.9 * plain);
}

TEST(Packed, GroupsOfOneValueAndFarFromZeroLoseLittle) {
  for (const float value : {0.0f, 0.25f, -3.0f, 60000.0f, -65504.0f}) {
    const std::vector<float> w(16 * 64, value);
    EXPECT_EQ(unpacked(Dtype::kInt4, packed(Dtype::kInt4, w, 16, 64), 16, 64), w) << value;
  }
  std::vector<float> w = normal(16 * 64, 0.02f, 5);
  for (float& x : w) x += 1;  // a minimum in F16 is within 2^-11 of 1
  const Block block = packed(Dtype::kInt4, w, 16, 64);
  EXPECT_LT(std::sqrt(squared_error(unpacked(Dtype::kInt4, block, 16, 64), w) / 1024), 0.0025);
}

TEST(Packed, WhatAFormatCannotHoldIsRefused) {
  const float inf = std::numeric_limits<float>::infinity();
  for (const float bad : {inf, -inf, std::numeric_limits<float>::quiet_NaN()}) {
    for (const Dtype dtype : {Dtype::kInt8, Dtype::kInt4}) {
      std::vector<float> w(16 * 64, 1);
      w[777] = bad;
      Block block(static_cast<size_t>(dtype_block(dtype).bytes));
      EXPECT_FALSE(pack_block(dtype, w.data(), 64, 16, 64, block.data())) << bad;
    }
  }
  std::vector<float> large(64, 0);
  large[3] = 65505;
  Block block(576);
  EXPECT_FALSE(pack_block(Dtype::kInt4, large.data(), 64, 1, 64, block.data()));
}

TEST(Packed, TinyValuesStayFinite) {
  for (const float size : {1e-45f, 1e-38f, 1e-9f, 1e-6f}) {
    for (const Dtype dtype : {Dtype::kInt8, Dtype::kInt4}) {
      const std::vector<float> w = normal(16 * 64, size, 6);
      const Block block = packed(dtype, w, 16, 64);
      EXPECT_TRUE(is_finite_block(dtype, block.data()));
      for (const float x : unpacked(dtype, block, 16, 64))
        EXPECT_LE(std::fabs(x), 7 * size + 1e-7f);
    }
  }
}

TEST(Packed, ABlockWithAnInfiniteScaleIsSeen) {
  Block int8 = packed(Dtype::kInt8, normal(16 * 128, 1, 7), 16, 128);
  EXPECT_TRUE(is_finite_block(Dtype::kInt8, int8.data()));
  int8[63] = std::byte{0x7f};
  int8[62] = std::byte{0x80};
  EXPECT_FALSE(is_finite_block(Dtype::kInt8, int8.data()));
  Block int4 = packed(Dtype::kInt4, normal(16 * 64, 1, 7), 16, 64);
  EXPECT_TRUE(is_finite_block(Dtype::kInt4, int4.data()));
  int4[63] = std::byte{0x7e};
  EXPECT_FALSE(is_finite_block(Dtype::kInt4, int4.data()));
}

TEST(Packed, ShapeIsPanelsBlocksBytes) {
  EXPECT_EQ(packed_shape(Dtype::kInt8, 17, 129), (std::vector<int64_t>{2, 2, 2112}));
  EXPECT_EQ(packed_shape(Dtype::kInt4, 16, 7168), (std::vector<int64_t>{1, 112, 576}));
  EXPECT_EQ(matrix_bytes(Dtype::kInt4, 17, 65), 2 * 2 * 576);
}

}  // namespace
}  // namespace fathom
