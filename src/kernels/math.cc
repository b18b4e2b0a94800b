// Doubles: reduction to a small argument in two doubles, then a polynomial. std::fma is exactly
// rounded by definition, so it is the same on every machine; nothing else of libm is used.
#include "kernels/math.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <limits>

#include "kernels/exp_constants.h"

namespace fathom {
namespace {

// hi + lo, |lo| at most half an ulp of hi.
struct Pair {
  double hi;
  double lo;
};

constexpr double kInvLn2 = 0x1.71547652b82fep+0;
constexpr double kLn2High = 0x1.62e42fefa3800p-1;  // 42 bits: n * kLn2High is exact for |n| < 2^11
constexpr double kLn2Low = 0x1.ef35793c76730p-45;

// Ties to even, |x| < 2^51.
double round_to_integer(double x) { return (x + 0x1.8p52) - 0x1.8p52; }
double power_of_two(int64_t n) {
  return std::bit_cast<double>(static_cast<uint64_t>(n + 1023) << 52);
}

template <size_t N>
double polynomial(const double (&c)[N], double x) {
  double sum = c[N - 1];
  for (size_t i = N - 1; i-- > 0;) sum = std::fma(sum, x, c[i]);
  return sum;
}

// exp(x + x_low), |x_low| tiny beside 1.
double exp_pair(double x, double x_low) {
  // (exp(r) - 1 - r) / r^2 at the Chebyshev nodes of |r| <= 0.3466.
  static constexpr double kC[] = {
      0x1.0000000000000p-1,  0x1.5555555555555p-3,  0x1.5555555555557p-5,  0x1.1111111111111p-7,
      0x1.6c16c16c15a69p-10, 0x1.a01a01a0196adp-13, 0x1.a01a01a9e935ep-16, 0x1.71de3a5aa78a7p-19,
      0x1.27e4d41a5ca90p-22, 0x1.ae642c83e9462p-26, 0x1.1f7f25b04b0d4p-29, 0x1.61bfa83dd7873p-33};
  const double n = round_to_integer(x * kInvLn2);
  const double reduced = x - n * kLn2High;
  const double r = std::fma(-n, kLn2Low, reduced);
  const double r_low = std::fma(-n, kLn2Low, reduced - r) + x_low;
  const double above = r * r * polynomial(kC, r);  // exp(r) - 1 - r
  const double p = 1.0 + (r + (above + std::fma(r_low, r + above, r_low)));
  // Two steps: 2^n itself may be beyond the doubles where p * 2^n is not.
  const int64_t exponent = static_cast<int64_t>(n);
  return p * power_of_two(exponent / 2) * power_of_two(exponent - exponent / 2);
}

// log(x) for finite x > 0: m = x / 2^k in [sqrt(1/2), sqrt(2)), s = (m - 1) / (m + 1), log m = 2
// atanh(s).
Pair log_pair(double x) {
  // atanh(s) = s + s^3 (1/3 + s^2/5 + ...), s^2 < 0.0295.
  static constexpr double kC[] = {1.0 / 3,  1.0 / 5,  1.0 / 7,  1.0 / 9,  1.0 / 11, 1.0 / 13,
                                  1.0 / 15, 1.0 / 17, 1.0 / 19, 1.0 / 21, 1.0 / 23};
  int64_t k = 0;
  if (x < std::numeric_limits<double>::min()) {
    x *= 0x1p54;
    k = -54;
  }
  const uint64_t bits = std::bit_cast<uint64_t>(x);
  // Adding the distance from sqrt(1/2) to 1 carries into the exponent exactly when the mantissa is
  // sqrt(2) or more.
  const uint64_t shifted = bits + (0x3ff0000000000000u - 0x3fe6a09e667f3bcdu);
  const int64_t exponent = static_cast<int64_t>(shifted >> 52) - 1023;
  k += exponent;
  const double m = std::bit_cast<double>(bits - (static_cast<uint64_t>(exponent) << 52));

  const double f = m - 1.0;
  const double t = 2.0 + f;
  const double t_low = (2.0 - t) + f;
  const double s = f / t;
  const double s_low = (std::fma(-s, t, f) - s * t_low) / t;
  const double z = s * s;
  const double tail = 2.0 * s * z * polynomial(kC, z) + 2.0 * s_low;
  const double n = static_cast<double>(k);
  const double big = n * kLn2High;
  const double sum = big + 2.0 * s;
  const double low = ((big - sum) + 2.0 * s) + (tail + n * kLn2Low);
  const double hi = sum + low;
  return {hi, (sum - hi) + low};
}

// x - n pi/2 for |x| <= 2^27 or so; the first product is exact inside the fma because n * kPiHalf1
// and x are both multiples of 2^-53 (2^-52 beyond 1) and their difference is below 1.
struct Reduced {
  Pair r;
  int64_t quadrant;
};
Reduced reduce_angle(double x) {
  constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;
  constexpr double kPiHalf1 = 0x1.921fb54442d18p+0;
  constexpr double kPiHalf2 = 0x1.1a62633145c07p-54;
  constexpr double kPiHalf3 = -0x1.f1976b7ed8fbcp-110;
  const double n = round_to_integer(x * kTwoOverPi);
  const double first = std::fma(-n, kPiHalf1, x);
  const double product = n * kPiHalf2;
  const double product_low = std::fma(n, kPiHalf2, -product);
  const double hi = first - product;
  const double lo = ((first - hi) - product) - product_low - n * kPiHalf3;
  return {{hi, lo}, static_cast<int64_t>(n)};
}

double sin_reduced(Pair r) {
  static constexpr double kC[] = {-1.0 / 6,
                                  1.0 / 120,
                                  -1.0 / 5040,
                                  1.0 / 362880,
                                  -1.0 / 39916800,
                                  1.0 / 6227020800.0,
                                  -1.0 / 1307674368000.0,
                                  1.0 / 355687428096000.0};
  const double z = r.hi * r.hi;
  return r.hi + std::fma(r.hi * z, polynomial(kC, z), std::fma(-0.5 * z, r.lo, r.lo));
}

double cos_reduced(Pair r) {
  static constexpr double kC[] = {1.0 / 24,
                                  -1.0 / 720,
                                  1.0 / 40320,
                                  -1.0 / 3628800,
                                  1.0 / 479001600,
                                  -1.0 / 87178291200.0,
                                  1.0 / 20922789888000.0,
                                  -1.0 / 6402373705728000.0};
  const double z = r.hi * r.hi;
  const double half = 0.5 * z;
  const double w = 1.0 - half;
  return w + (((1.0 - w) - half) + std::fma(z * z, polynomial(kC, z), -(r.hi * r.lo)));
}

}  // namespace

double exp_f64(double x) {
  if (x != x) return x;
  if (x > 709.8) return std::numeric_limits<double>::infinity();
  if (x < -745.2) return 0.0;
  return exp_pair(x, 0.0);
}

double log_f64(double x) {
  if (x != x || x == std::numeric_limits<double>::infinity()) return x;
  if (x < 0.0) return std::numeric_limits<double>::quiet_NaN();
  if (x == 0.0) return -std::numeric_limits<double>::infinity();
  const Pair log = log_pair(x);
  return log.hi + log.lo;
}

double pow_f64(double x, double y) {
  if (y == 0.0 || x == 1.0) return 1.0;
  const Pair log = log_pair(x);
  const double hi = y * log.hi;
  if (!(hi < 709.8)) return hi != hi ? hi : std::numeric_limits<double>::infinity();
  if (hi < -745.2) return 0.0;
  return exp_pair(hi, std::fma(y, log.hi, -hi) + y * log.lo);
}

void sin_cos_f64(double x, double* sin, double* cos) {
  const Reduced reduced = reduce_angle(x);
  const double s = sin_reduced(reduced.r);
  const double c = cos_reduced(reduced.r);
  switch (reduced.quadrant & 3) {
    case 0:
      *sin = s, *cos = c;
      break;
    case 1:
      *sin = c, *cos = -s;
      break;
    case 2:
      *sin = -s, *cos = -c;
      break;
    default:
      *sin = -c, *cos = s;
      break;
  }
}

float exp_f32(float x) {
  namespace k = exp_constants;
  if (x != x) return x;
  if (x < k::kMin) return 0.0f;
  if (x > k::kMax) x = k::kMax;
  const float n = (x * k::kInvLn2 + 0x1.8p23f) - 0x1.8p23f;
  const float r = std::fma(-n, k::kLn2Low, std::fma(-n, k::kLn2High, x));
  float q = std::fma(k::kC4, r, k::kC3);
  q = std::fma(q, r, k::kC2);
  q = std::fma(q, r, k::kC1);
  q = std::fma(q, r, k::kC0);
  const float p = 1.0f + std::fma(q, r * r, r);
  const int32_t exponent = static_cast<int32_t>(n);
  const int32_t half = exponent >> 1;
  const auto power = [](int32_t e) {
    return std::bit_cast<float>(static_cast<uint32_t>(e + 127) << 23);
  };
  return p * power(half) * power(exponent - half);
}

}  // namespace fathom
