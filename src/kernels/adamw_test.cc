// Goal: AdamW and the norm are the formulas of adamw.h on every instruction set. Method: the
// formulas in double over many steps; sizes around the lanes; one set of bits for all sets and
// numbers of threads.
#include "kernels/adamw.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "kernels/isa_testing.h"
#include "tensor/numeric.h"

namespace fathom {
namespace {

const std::vector<int64_t> kSizes = {0, 1, 7, 8, 9, 15, 16, 17, 33, 1000};

std::vector<float> random_values(int64_t n, uint32_t seed, float deviation) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> values(static_cast<size_t>(n));
  for (float& v : values) v = normal(random);
  return values;
}

AdamWOptions options_of_step(int64_t step) {
  return {.learning_rate = 1e-3 * static_cast<double>(step % 5 + 1),
          .beta1 = 0.9,
          .beta2 = 0.95,
          .eps = 1e-8,
          .weight_decay = 0.1,
          .gradient_scale = step % 2 == 0 ? 0.37 : 1.0,
          .step = step};
}

// The state of one run; moments as M.
template <typename M>
struct State {
  std::vector<float> value;
  std::vector<M> m, v;
  State(int64_t n, uint32_t seed)
      : value(random_values(n, seed, 0.05f)),
        m(static_cast<size_t>(n)),
        v(static_cast<size_t>(n)) {}
  bool same_bytes(const State& other) const {
    // Bytes, so that a NaN equals itself; memcmp takes no null, which empty vectors may give.
    return (value.empty() ||
            std::memcmp(value.data(), other.value.data(), value.size() * sizeof(float)) == 0) &&
           m == other.m && v == other.v;
  }
};

template <typename M>
State<M> run(const Compute& compute, int64_t n, int64_t n_steps) {
  State<M> state(n, 7);
  for (int64_t step = 1; step <= n_steps; ++step) {
    const auto gradient = random_values(n, static_cast<uint32_t>(100 + step), 1e-3f);
    adamw(compute, options_of_step(step), gradient.data(), state.value.data(), state.m.data(),
          state.v.data(), n);
  }
  return state;
}

// The formula in double; round makes the stored moments what the kernel stores.
template <typename Round>
std::vector<double> formula(int64_t n, int64_t n_steps, const Round& round) {
  const auto start = random_values(n, 7, 0.05f);
  std::vector<double> value(start.begin(), start.end());
  std::vector<double> m(value.size()), v(value.size());
  for (int64_t step = 1; step <= n_steps; ++step) {
    const AdamWOptions o = options_of_step(step);
    const auto gradient = random_values(n, static_cast<uint32_t>(100 + step), 1e-3f);
    const auto t = static_cast<double>(step);
    for (size_t i = 0; i < value.size(); ++i) {
      const double g = static_cast<double>(gradient[i]) * o.gradient_scale;
      m[i] = o.beta1 * m[i] + (1.0 - o.beta1) * g;
      v[i] = o.beta2 * v[i] + (1.0 - o.beta2) * g * g;
      value[i] *= 1.0 - o.learning_rate * o.weight_decay;
      value[i] -= o.learning_rate * (m[i] / (1.0 - std::pow(o.beta1, t))) /
                  (std::sqrt(v[i] / (1.0 - std::pow(o.beta2, t))) + o.eps);
      m[i] = round(m[i]);
      v[i] = round(v[i]);
    }
  }
  return value;
}

TEST(AdamW, IsTheFormulaWithF32Moments) {
  constexpr int64_t kSteps = 50;
  const auto want = formula(1000, kSteps, [](double x) { return x; });
  const State<float> got = run<float>({Isa::kRef, nullptr}, 1000, kSteps);
  // A step moves a value by some learning rates, 5e-3 at most; each operation of it is within
  // 2^-24, a dozen a step. The value itself is rounded twice a step.
  for (size_t i = 0; i < want.size(); ++i)
    EXPECT_NEAR(got.value[i], want[i], kSteps * (12 * 5e-3 + 2 * std::fabs(want[i])) * 0x1p-24);
}

TEST(AdamW, IsTheFormulaWithBf16Moments) {
  constexpr int64_t kSteps = 20;
  const auto want =
      formula(1000, kSteps, [](double x) { return round_to_bf16(static_cast<float>(x)); });
  const State<uint16_t> got = run<uint16_t>({Isa::kRef, nullptr}, 1000, kSteps);
  // As above, but where F32 and double fall on two sides of a tie the moments part by a BF16 ulp,
  // 2^-8; seldom, so all but a few values are as close as with F32.
  int n_apart = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double error = std::fabs(got.value[i] - want[i]);
    EXPECT_LT(error, 5e-3 * 0x1p-7 * 2);
    if (error > kSteps * (12 * 5e-3 + 2 * std::fabs(want[i])) * 0x1p-24) ++n_apart;
  }
  EXPECT_LT(n_apart, 10);
}

template <typename M>
void expect_one_set_of_bits() {
  for (int64_t n : kSizes) {
    const State<M> want = run<M>({Isa::kRef, nullptr}, n, 3);
    for (Isa isa : available_isas())
      EXPECT_TRUE((run<M>({isa, nullptr}, n, 3).same_bytes(want))) << isa_name(isa) << " " << n;
  }
  const int64_t n = 50'001;
  const State<M> want = run<M>({Isa::kRef, nullptr}, n, 2);
  for (Isa isa : isa_testing::isas_of_long_tests()) {
    for (int n_threads : {1, 3}) {
      Pool pool(n_threads);
      EXPECT_TRUE((run<M>({isa, &pool}, n, 2).same_bytes(want))) << isa_name(isa);
    }
  }
}

TEST(AdamW, AllSetsAndThreadsGiveTheSameBits) {
  expect_one_set_of_bits<float>();
  expect_one_set_of_bits<uint16_t>();
}

TEST(AdamW, NormsDoNotDecayAndZeroGradientsMoveNothing) {
  for (Isa isa : available_isas()) {
    std::vector<float> value = {1.0f, -2.0f, 0.5f}, m(3), v(3), gradient(3);
    AdamWOptions options = options_of_step(1);
    options.weight_decay = 0;
    adamw({isa, nullptr}, options, gradient.data(), value.data(), m.data(), v.data(), 3);
    EXPECT_EQ(value, (std::vector<float>{1.0f, -2.0f, 0.5f})) << isa_name(isa);
    options.weight_decay = 0.1;
    adamw({isa, nullptr}, options, gradient.data(), value.data(), m.data(), v.data(), 3);
    EXPECT_FLOAT_EQ(value[0], static_cast<float>(1.0 - options.learning_rate * 0.1));
  }
}

TEST(SumOfSquares, IsTheSumWhateverTheThreads) {
  for (Isa isa : available_isas()) {
    for (int64_t n : {0, 1, 15, 17, 4096, 4097, 20'000, 70'001}) {
      const auto x = random_values(n, 3, 2.0f);
      double want = 0.0;
      for (float value : x) want += static_cast<double>(value) * static_cast<double>(value);
      const double alone = sum_of_squares({isa, nullptr}, x.data(), n);
      EXPECT_NEAR(alone, want, want * 0x1p-24) << isa_name(isa) << " " << n;  // of each square
      for (int n_threads : {1, 2, 3}) {
        Pool pool(n_threads);
        EXPECT_EQ(sum_of_squares({isa, &pool}, x.data(), n), alone) << isa_name(isa) << " " << n;
      }
    }
    std::vector<float> bad(100, 1.0f);
    bad[77] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(std::isnan(sum_of_squares({isa, nullptr}, bad.data(), 100)));
    bad[77] = std::numeric_limits<float>::infinity();
    EXPECT_TRUE(std::isinf(sum_of_squares({isa, nullptr}, bad.data(), 100)));
  }
}

TEST(CopyOrClear, CopiesAndClears) {
  Pool pool(2);
  const auto from = random_values(40'000, 5, 1.0f);
  std::vector<float> to(from.size(), 3.0f);
  copy_or_clear({Isa::kRef, &pool}, to.data(), from.data(), 40'000);
  EXPECT_EQ(to, from);
  copy_or_clear({Isa::kRef, &pool}, to.data(), nullptr, 40'000);
  EXPECT_EQ(to, std::vector<float>(from.size()));
}

}  // namespace
}  // namespace fathom
