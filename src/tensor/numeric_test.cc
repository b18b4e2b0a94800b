// Goal: every narrow code converts exactly, and rounding is to nearest, ties to even.
// Method: all codes there and back; for E4M3 the nearest code is also found by search.
#include "tensor/numeric.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tensor/dtype.h"

namespace fathom {
namespace {

TEST(Numeric, EveryCodeSurvivesTheRoundTrip) {
  for (uint32_t code = 0; code < 0x10000; ++code) {
    const Bf16 bits = static_cast<Bf16>(code);
    if (!std::isnan(bf16_to_f32(bits))) {
      ASSERT_EQ(f32_to_bf16(bf16_to_f32(bits)), bits);
    }
    if (!std::isnan(f16_to_f32(bits))) {
      ASSERT_EQ(f32_to_f16(f16_to_f32(bits)), bits);
    }
  }
  for (uint32_t code = 0; code < 0x100; ++code) {
    const E4M3 bits = static_cast<E4M3>(code);
    if ((code & 0x7f) == 0x7f) {
      EXPECT_TRUE(std::isnan(e4m3_to_f32(bits)));
    } else {
      EXPECT_EQ(f32_to_e4m3(e4m3_to_f32(bits)), bits);
    }
  }
  EXPECT_EQ(e4m3_to_f32(0x7e), 448.0f);
  EXPECT_EQ(e4m3_to_f32(0x01), 0x1p-9f);
  EXPECT_EQ(e4m3_to_f32(0x08), 0x1p-6f);
}

TEST(Numeric, E4M3RoundsToTheNearestTiesToEven) {
  for (int code = 0; code < 0x7e; ++code) {
    const float low = e4m3_to_f32(static_cast<E4M3>(code));
    const float high = e4m3_to_f32(static_cast<E4M3>(code + 1));
    const float middle = (low + high) / 2;
    EXPECT_EQ(f32_to_e4m3(middle), (code % 2 == 0) ? code : code + 1) << code;
    EXPECT_EQ(f32_to_e4m3(std::nextafterf(middle, 0.0f)), code) << code;
    EXPECT_EQ(f32_to_e4m3(std::nextafterf(middle, 1e9f)), code + 1) << code;
    EXPECT_EQ(f32_to_e4m3(-middle), 0x80 | f32_to_e4m3(middle)) << code;
  }
  EXPECT_EQ(f32_to_e4m3(1e30f), 0x7e);
  EXPECT_EQ(f32_to_e4m3(-INFINITY), 0xfe);
}

TEST(Numeric, ScalesFollowTheSpec) {
  EXPECT_EQ(fp8_scale(0.0f, false), 1e-4f / 448.0f);
  EXPECT_EQ(fp8_scale(448.0f, true), 1.0f);
  EXPECT_EQ(fp8_scale(449.0f, true), 2.0f);
  EXPECT_EQ(e8m0_to_f32(127), 1.0f);
  EXPECT_EQ(e8m0_to_f32(0), 0x1p-127f);
}

TEST(Dtype, NamesRoundTrip) {
  for (const char* name : {"F32", "F16", "BF16", "F8_E4M3", "F8_E8M0", "I64", "U8", "BOOL"}) {
    ASSERT_TRUE(dtype_from_name(name).has_value()) << name;
    EXPECT_EQ(dtype_name(*dtype_from_name(name)), name);
  }
  EXPECT_FALSE(dtype_from_name("F8_E5M2X").has_value());
}

}  // namespace
}  // namespace fathom
