// Goal: every set of instructions computes the formulas of elementwise.h, and where they consist of
// correctly rounded operations only, the same bits. Method: formulas in double; sizes around the
// lanes, in place, unaligned.
#include "kernels/elementwise.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "kernels/math.h"

namespace fathom {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
const std::vector<int64_t> kSizes = {1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 64, 130, 1000};

std::vector<float> random_values(int64_t n, uint32_t seed, float deviation = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> values(static_cast<size_t>(n));
  for (float& v : values) v = normal(random);
  return values;
}

// Runs function(out) with out at an odd address inside guards, and checks that the guards are
// untouched.
template <typename F>
std::vector<float> guarded(int64_t n, const std::vector<float>& initial, const F& function) {
  std::vector<float> memory(static_cast<size_t>(n + 40), 12345.0f);
  std::copy_n(initial.begin(), std::min<size_t>(initial.size(), static_cast<size_t>(n)),
              memory.begin() + 17);
  function(memory.data() + 17);
  for (size_t i = 0; i < memory.size(); ++i) {
    if (i >= 17 && i < static_cast<size_t>(17 + n)) continue;
    EXPECT_EQ(memory[i], 12345.0f) << "beside the row of " << n;
  }
  return {memory.begin() + 17, memory.begin() + 17 + n};
}

bool same_bytes(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST(Elementwise, RmsNorm) {
  Pool pool(2);
  for (Isa isa : available_isas()) {
    for (int64_t n : kSizes) {
      const std::vector<float> x = random_values(n, 1, 3.0f);
      const std::vector<float> weight = random_values(n, 2);
      const std::vector<float> y = guarded(n, {}, [&](float* out) {
        rms_norm({isa, &pool}, x.data(), n, weight.data(), 1e-6f, out, n, 1, n);
      });
      const std::vector<float> in_place = guarded(n, x, [&](float* out) {
        rms_norm({isa, &pool}, out, n, weight.data(), 1e-6f, out, n, 1, n);
      });
      EXPECT_TRUE(same_bytes(y, in_place)) << isa_name(isa) << " " << n;
      double sum = 0.0;
      for (float v : x) sum += static_cast<double>(v) * static_cast<double>(v);
      const double rms = std::sqrt(sum / static_cast<double>(n) + 1e-6);
      for (size_t i = 0; i < x.size(); ++i) {
        const double want = static_cast<double>(x[i]) / rms * static_cast<double>(weight[i]);
        // n / lanes roundings of a sum of positive terms, halved by the root, and five more.
        EXPECT_NEAR(y[i], want, (static_cast<double>(n) / 32 + 5) * 0x1p-24 * std::fabs(want))
            << isa_name(isa);
      }
    }
  }
}

TEST(Elementwise, RmsNormOfManyRowsIsThatOfEach) {
  const int64_t m = 70;
  const int64_t n = 1000;
  const std::vector<float> x = random_values(m * n, 3);
  const std::vector<float> weight = random_values(n, 4);
  for (Isa isa : available_isas()) {
    std::vector<float> alone(x.size());
    Pool one(1);
    for (int64_t t = 0; t < m; ++t) {
      rms_norm({isa, &one}, x.data() + t * n, n, weight.data(), 1e-6f, alone.data() + t * n, n, 1,
               n);
    }
    for (int n_threads : {1, 2, 3}) {
      Pool pool(n_threads);
      std::vector<float> together(x.size());
      rms_norm({isa, &pool}, x.data(), n, weight.data(), 1e-6f, together.data(), n, m, n);
      EXPECT_TRUE(same_bytes(together, alone)) << isa_name(isa) << " " << n_threads;
    }
  }
}

TEST(Elementwise, AddAndAxpyAreExactOperations) {
  for (Isa isa : available_isas()) {
    Pool pool(3);
    for (int64_t n : {int64_t{1}, int64_t{9}, int64_t{17}, int64_t{100'001}}) {
      const std::vector<float> x = random_values(n, 5);
      const std::vector<float> y = random_values(n, 6);
      const std::vector<float> sum = guarded(n, x, [&](float* out) {
        add_in_place({isa, &pool}, out, y.data(), n);
      });
      const std::vector<float> axpy =
          guarded(n, x, [&](float* out) { axpy_row(isa, 0.3f, y.data(), out, n); });
      for (size_t i = 0; i < x.size(); ++i) {
        ASSERT_EQ(sum[i], x[i] + y[i]);
        ASSERT_EQ(axpy[i], std::fma(0.3f, y[i], x[i]));
      }
    }
  }
}

TEST(Elementwise, RopeRotatesPairs) {
  for (bool interleaved : {true, false}) {
    for (int64_t dim : {2, 6, 8, 16, 30, 32, 64, 66}) {
      const int64_t stride = dim + 5;
      const std::vector<float> x = random_values(3 * stride, 7);
      std::vector<float> cos, sin;
      for (int64_t j = 0; j < dim / 2; ++j) {
        cos.push_back(static_cast<float>(std::cos(0.37 * static_cast<double>(j + 1))));
        sin.push_back(static_cast<float>(std::sin(0.37 * static_cast<double>(j + 1))));
      }
      for (Isa isa : available_isas()) {
        const std::vector<float> y = guarded(3 * stride, x, [&](float* out) {
          rope_row(isa, out, 3, stride, dim, cos.data(), sin.data(), interleaved);
        });
        for (int64_t h = 0; h < 3; ++h) {
          for (int64_t i = dim; i < stride; ++i) {
            ASSERT_EQ(y[static_cast<size_t>(h * stride + i)],
                      x[static_cast<size_t>(h * stride + i)]);
          }
          for (int64_t j = 0; j < dim / 2; ++j) {
            const size_t first = static_cast<size_t>(h * stride + (interleaved ? 2 * j : j));
            const size_t second =
                static_cast<size_t>(h * stride + (interleaved ? 2 * j + 1 : j + dim / 2));
            const float c = cos[static_cast<size_t>(j)];
            const float s = sin[static_cast<size_t>(j)];
            ASSERT_EQ(y[first], x[first] * c - x[second] * s)
                << isa_name(isa) << " dim " << dim << " pair " << j;
            ASSERT_EQ(y[second], x[first] * s + x[second] * c)
                << isa_name(isa) << " dim " << dim << " pair " << j;
          }
        }
      }
    }
  }
}

// Values over the whole range of the exponential, and the special ones.
std::vector<float> hostile_values() {
  std::vector<float> values = random_values(4001, 8, 40.0f);
  for (float v : {0.0f, -0.0f, 87.33654f, -87.33654f, -87.33655f, 88.0f, 88.722f, 88.723f, 89.0f,
                  104.0f, -104.0f, 1e30f, -1e30f, kInfinity, -kInfinity, 1e-40f}) {
    values.push_back(v);
    values.push_back(-v);
  }
  return values;
}

TEST(Elementwise, SigmoidAndSiluHaveTheSameBitsOnEverySet) {
  const std::vector<float> x = hostile_values();
  const int64_t n = static_cast<int64_t>(x.size());
  const std::vector<float> up = random_values(n, 9);
  for (Isa isa : available_isas()) {
    const std::vector<float> sigmoid =
        guarded(n, {}, [&](float* out) { sigmoid_row(isa, x.data(), out, n); });
    const std::vector<float> silu =
        guarded(n, {}, [&](float* out) { silu_mul_row(isa, x.data(), up.data(), out, n); });
    const std::vector<float> in_place =
        guarded(n, x, [&](float* out) { silu_mul_row(isa, out, up.data(), out, n); });
    for (size_t i = 0; i < x.size(); ++i) {
      ASSERT_EQ(std::bit_cast<uint32_t>(sigmoid[i]), std::bit_cast<uint32_t>(sigmoid_f32(x[i])))
          << isa_name(isa) << " " << x[i];
      const double exact = 1.0 / (1.0 + std::exp(-static_cast<double>(x[i])));
      ASSERT_NEAR(sigmoid[i], exact, 3 * 0x1p-24 + 0x1p-22 * exact);
      if (std::isinf(x[i])) continue;  // -inf * 0
      ASSERT_EQ(silu[i], x[i] * sigmoid_f32(x[i]) * up[i]) << isa_name(isa) << " " << x[i];
      ASSERT_EQ(in_place[i], silu[i]);
    }
  }
}

TEST(Elementwise, SoftmaxAndLogSumExp) {
  for (Isa isa : available_isas()) {
    for (int64_t n : kSizes) {
      std::vector<float> x = random_values(n, 10, 5.0f);
      if (n > 8) x[3] = -kInfinity;  // a token that is forbidden
      if (n > 8) x[5] = x[5] - 300.0f;
      double max = -1e30;
      for (float v : x) max = std::max(max, static_cast<double>(v));
      double sum = 0.0;
      for (float v : x) sum += std::exp(static_cast<double>(v) - max);
      const std::vector<float> y =
          guarded(n, x, [&](float* out) { softmax_row(isa, out, out, n); });
      for (size_t i = 0; i < x.size(); ++i) {
        const double want = std::exp(static_cast<double>(x[i]) - max) / sum;
        // x - max is rounded: up to 2^-24 * 40 in the exponent; exp_f32 below 2^-23; the sum and
        // the quotient.
        EXPECT_NEAR(y[i], want, 1e-5 * want + 1e-37) << isa_name(isa) << " " << n;
      }
      EXPECT_NEAR(log_sum_exp_row(isa, x.data(), n), max + std::log(sum), 1e-5)
          << isa_name(isa) << " " << n;
    }
  }
}

TEST(Elementwise, ArgmaxTakesTheLowestOfEquals) {
  for (int64_t n : kSizes) {
    std::vector<float> x = random_values(n, 11);
    const int64_t want = std::max_element(x.begin(), x.end()) - x.begin();
    EXPECT_EQ(argmax_row(x.data(), n), want);
    x.back() = x[static_cast<size_t>(want)];
    EXPECT_EQ(argmax_row(x.data(), n), want);
    std::vector<float> equal(static_cast<size_t>(n), -kInfinity);
    EXPECT_EQ(argmax_row(equal.data(), n), 0);
  }
  const std::vector<float> with_nan = {std::nanf(""), 1.0f, std::nanf(""), 3.0f, 3.0f};
  EXPECT_EQ(argmax_row(with_nan.data(), 5), 3);
}

}  // namespace
}  // namespace fathom
