// Goal: our elementary functions are as accurate as kernels/math.h says. Method: against long
// double libm, errors counted in units of the last place of the result.
#include "kernels/math.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace fathom {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// |got - want| in ulps of a double near want.
double ulps(double got, long double want) {
  const double near = static_cast<double>(want);
  const double ulp = std::nextafter(std::fabs(near), kInfinity) - std::fabs(near);
  return static_cast<double>(std::fabs(static_cast<long double>(got) - want) /
                             static_cast<long double>(ulp));
}

TEST(Math, Exp) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> wide(-708.0, 709.0);
  std::uniform_real_distribution<double> narrow(-2.0, 2.0);
  for (int i = 0; i < 200'000; ++i) {
    const double x = i % 2 == 0 ? wide(random) : narrow(random);
    ASSERT_LT(ulps(exp_f64(x), std::exp(static_cast<long double>(x))), 1.0) << x;
  }
  EXPECT_EQ(exp_f64(0.0), 1.0);
  EXPECT_EQ(exp_f64(-kInfinity), 0.0);
  EXPECT_EQ(exp_f64(kInfinity), kInfinity);
  EXPECT_TRUE(std::isnan(exp_f64(std::nan(""))));
  EXPECT_GT(exp_f64(709.7), 1e308);
  EXPECT_GT(exp_f64(-745.0), 0.0);
}

TEST(Math, Log) {
  std::mt19937_64 random(2);
  std::uniform_real_distribution<double> exponent(-1070.0, 1023.0);
  std::uniform_real_distribution<double> near_one(0.5, 2.0);
  for (int i = 0; i < 200'000; ++i) {
    const double x = i % 2 == 0 ? std::exp2(exponent(random)) : near_one(random);
    ASSERT_LT(ulps(log_f64(x), std::log(static_cast<long double>(x))), 1.0) << x;
  }
  EXPECT_EQ(log_f64(1.0), 0.0);
  EXPECT_EQ(log_f64(0.0), -kInfinity);
  EXPECT_EQ(log_f64(kInfinity), kInfinity);
  EXPECT_TRUE(std::isnan(log_f64(-1.0)));
}

TEST(Math, Pow) {
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> base(0.1, 1e6);
  std::uniform_real_distribution<double> exponent(-3.0, 3.0);
  for (int i = 0; i < 200'000; ++i) {
    const double x = base(random);
    const double y = exponent(random);
    ASSERT_LT(
        ulps(pow_f64(x, y), std::pow(static_cast<long double>(x), static_cast<long double>(y))),
        1.0)
        << x << " ^ " << y;
  }
  for (int j = 0; j < 32; ++j) {  // the frequencies of the rotary embedding
    const double y = -2.0 * j / 64;
    EXPECT_LT(ulps(pow_f64(10000.0, y), std::pow(10000.0L, static_cast<long double>(y))), 1.0);
  }
  EXPECT_EQ(pow_f64(7.0, 0.0), 1.0);
  EXPECT_EQ(pow_f64(10.0, 400.0), kInfinity);
  EXPECT_EQ(pow_f64(10.0, -400.0), 0.0);
}

TEST(Math, SinAndCos) {
  std::mt19937_64 random(4);
  std::uniform_real_distribution<double> wide(-0x1p27, 0x1p27);
  std::uniform_real_distribution<double> narrow(-7.0, 7.0);
  double s = 0.0;
  double c = 0.0;
  for (int i = 0; i < 200'000; ++i) {
    // Every third near a multiple of pi/2, where one of the two is tiny.
    const double n = std::nearbyint(wide(random) / 1.5707963267948966);
    const double x = i % 3 == 0   ? wide(random)
                     : i % 3 == 1 ? narrow(random)
                                  : n * 1.5707963267948966;
    sin_cos_f64(x, &s, &c);
    ASSERT_NEAR(s * s + c * c, 1.0, 4e-16) << x;
    // long double's own reduction is exact to about 2^-64 of x: tiny results are compared
    // absolutely.
    const long double want_sin = std::sin(static_cast<long double>(x));
    const long double want_cos = std::cos(static_cast<long double>(x));
    if (std::fabs(want_sin) > 1e-3L) {
      ASSERT_LT(ulps(s, want_sin), 1.0) << x;
    }
    if (std::fabs(want_cos) > 1e-3L) {
      ASSERT_LT(ulps(c, want_cos), 1.0) << x;
    }
    ASSERT_NEAR(s, static_cast<double>(want_sin), 2e-16) << x;
    ASSERT_NEAR(c, static_cast<double>(want_cos), 2e-16) << x;
  }
  sin_cos_f64(0.0, &s, &c);
  EXPECT_EQ(s, 0.0);
  EXPECT_EQ(c, 1.0);
}

TEST(Math, ExpOfFloats) {
  double worst = 0.0;
  for (double x = -87.3365; x < 88.7228; x += 1.7e-4) {
    const float argument = static_cast<float>(x);
    const double want = std::exp(static_cast<double>(argument));
    worst = std::max(worst, std::fabs(static_cast<double>(exp_f32(argument)) / want - 1.0));
  }
  EXPECT_LT(worst, 0x1p-23);
  EXPECT_EQ(exp_f32(0.0f), 1.0f);
  EXPECT_EQ(exp_f32(-0.0f), 1.0f);
  EXPECT_EQ(exp_f32(-87.34f), 0.0f);
  EXPECT_EQ(exp_f32(-std::numeric_limits<float>::infinity()), 0.0f);
  EXPECT_EQ(exp_f32(88.73f), std::numeric_limits<float>::infinity());
  EXPECT_EQ(exp_f32(std::numeric_limits<float>::infinity()),
            std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(exp_f32(std::nanf(""))));
}

}  // namespace
}  // namespace fathom
