// Goal: gradients of the small operations are those of their formulas. Method: finite differences
// of the formula in double (central, h = 1e-5: within 1e-9 of these smooth functions), sizes around
// the lanes, every set, several threads.
#include "kernels/elementwise_backward.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "kernels/elementwise.h"
#include "tests/support/gradient_testing.h"

namespace fathom {
namespace {

using gradient_testing::expect_close;
using gradient_testing::normal_values;
using gradient_testing::on_every_set;
using gradient_testing::Values;
using Doubles = std::vector<double>;

constexpr double kF32 = 2e-6;  // some tens of roundings
constexpr float kEps = 1e-6f;

// The gradient of a scalar function by each of its arguments.
Doubles differences(const std::function<double(const Doubles&)>& f, Doubles x) {
  constexpr double kStep = 1e-5;
  Doubles out;
  for (double& v : x) {
    const double before = v;
    v = before + kStep;
    const double high = f(x);
    v = before - kStep;
    const double low = f(x);
    v = before;
    out.push_back((high - low) / (2 * kStep));
  }
  return out;
}

Doubles wide(const Values& x) { return {x.begin(), x.end()}; }
Values joined(Values a, const Values& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// sum of dy * norm(x) for one row, of x and weight joined.
double norm_loss(const Doubles& arguments, const Values& dy) {
  const size_t n = dy.size();
  double squares = 0, loss = 0;
  for (size_t i = 0; i < n; ++i) squares += arguments[i] * arguments[i];
  const double inv_rms = 1 / std::sqrt(squares / static_cast<double>(n) + 1e-6);
  for (size_t i = 0; i < n; ++i)
    loss += static_cast<double>(dy[i]) * arguments[i] * inv_rms * arguments[n + i];
  return loss;
}

TEST(ElementwiseBackward, RmsNormOfOneRow) {
  for (const int64_t n : {1, 7, 8, 16, 17, 40}) {
    const Values x = normal_values(n, 1), weight = normal_values(n, 2), dy = normal_values(n, 3);
    const Doubles want =
        differences([&](const Doubles& a) { return norm_loss(a, dy); }, wide(joined(x, weight)));
    on_every_set(
        [&](const Compute& compute) {
          NormBackwardWorkspace workspace(1, n);
          Values dx(x.size()), dweight(x.size());
          rms_norm_backward(compute, x.data(), n, weight.data(), kEps, dy.data(), n, dx.data(), n,
                            /*add=*/false, dweight.data(), 1, n, workspace);
          return joined(dx, dweight);
        },
        [&](const Values& got) { expect_close(got, want, n == 1 ? 1e-3 : kF32); });
  }
}

TEST(ElementwiseBackward, RmsNormAddsRowsAndKeepsWhatIsThere) {
  constexpr int64_t kRows = 300, kN = 24, kLd = 30;
  const Values x = normal_values(kRows * kLd, 4), weight = normal_values(kN, 5);
  const Values dy = normal_values(kRows * kLd, 6);
  on_every_set(
      [&](const Compute& compute) {
        NormBackwardWorkspace workspace(kRows, kN);
        Values dx(x.size(), 1.0f), dweight(kN, 2.0f);
        rms_norm_backward(compute, x.data(), kLd, weight.data(), kEps, dy.data(), kLd, dx.data(),
                          kLd, /*add=*/true, dweight.data(), kRows, kN, workspace);
        for (int64_t row = 0; row < kRows; ++row) {
          Values one(kN), dw(kN);
          rms_norm_backward(compute, x.data() + row * kLd, kLd, weight.data(), kEps,
                            dy.data() + row * kLd, kLd, one.data(), kLd, /*add=*/false, dw.data(),
                            1, kN, workspace);
          for (int64_t i = 0; i < kN; ++i)
            EXPECT_NEAR(dx[static_cast<size_t>(row * kLd + i)], 1.0f + one[static_cast<size_t>(i)],
                        1e-6);
          EXPECT_EQ(dx[static_cast<size_t>(row * kLd + kN)], 1.0f) << "beyond the row";
        }
        return dweight;
      },
      [&](const Values& got) {
        Doubles want(kN, 2.0);
        for (int64_t row = 0; row < kRows; ++row) {
          double squares = 0;
          for (int64_t i = 0; i < kN; ++i)
            squares += std::pow(static_cast<double>(x[static_cast<size_t>(row * kLd + i)]), 2);
          const double inv_rms = 1 / std::sqrt(squares / kN + 1e-6);
          for (int64_t i = 0; i < kN; ++i) {
            const auto at = static_cast<size_t>(row * kLd + i);
            want[static_cast<size_t>(i)] +=
                static_cast<double>(dy[at]) * static_cast<double>(x[at]) * inv_rms;
          }
        }
        expect_close(got, want, kF32);
      });
}

TEST(ElementwiseBackward, SiluMul) {
  constexpr int64_t kN = 37;
  const Values gate = normal_values(kN, 7, 3), up = normal_values(kN, 8), dh = normal_values(kN, 9);
  const Doubles want = differences(
      [&](const Doubles& a) {
        double loss = 0;
        for (size_t i = 0; i < kN; ++i)
          loss += static_cast<double>(dh[i]) * a[i] / (1 + std::exp(-a[i])) * a[kN + i];
        return loss;
      },
      wide(joined(gate, up)));
  on_every_set(
      [&](const Compute& compute) {
        Values dgate(kN), dup(kN), in_place = gate, up_in_place = up;
        silu_mul_backward_row(compute.isa, gate.data(), up.data(), dh.data(), dgate.data(),
                              dup.data(), kN);
        silu_mul_backward_row(compute.isa, in_place.data(), up_in_place.data(), dh.data(),
                              in_place.data(), up_in_place.data(), kN);
        EXPECT_EQ(in_place, dgate);
        EXPECT_EQ(up_in_place, dup);
        return joined(dgate, dup);
      },
      [&](const Values& got) { expect_close(got, want, kF32); });
}

TEST(ElementwiseBackward, CrossEntropy) {
  constexpr int64_t kN = 50;
  constexpr int32_t kTarget = 13;
  const Values logits = normal_values(kN, 10, 2);
  const auto loss = [](const Doubles& x) {
    double sum = 0;
    for (const double v : x) sum += std::exp(v);
    return std::log(sum) - x[kTarget];
  };
  Doubles want = differences(loss, wide(logits));
  for (double& v : want) v *= 0.25;
  on_every_set(
      [&](const Compute& compute) {
        Values gradient = logits;
        EXPECT_NEAR(cross_entropy_row(compute.isa, gradient.data(), kN, kTarget, 0.25f),
                    loss(wide(logits)), 1e-6);
        Values none = logits;
        EXPECT_GT(cross_entropy_row(compute.isa, none.data(), kN, kTarget, 0.0f), 0);
        for (const float v : none) EXPECT_EQ(v, 0.0f);
        return gradient;
      },
      [&](const Values& got) { expect_close(got, want, kF32); });
}

TEST(ElementwiseBackward, RopeTurnsBack) {
  constexpr int64_t kDim = 20;
  const Values x = normal_values(2 * kDim, 11);
  Values cos(kDim / 2), sin(kDim / 2);
  for (size_t i = 0; i < cos.size(); ++i) {
    cos[i] = std::cos(0.3f * static_cast<float>(i));
    sin[i] = std::sin(0.3f * static_cast<float>(i));
  }
  for (const bool interleaved : {true, false}) {
    on_every_set(
        [&](const Compute& compute) {
          Values y = x;
          rope_row(compute.isa, y.data(), 2, kDim, kDim, cos.data(), sin.data(), interleaved);
          rope_backward_row(compute.isa, y.data(), 2, kDim, kDim, cos.data(), sin.data(),
                            interleaved);
          return y;
        },
        [&](const Values& got) { expect_close(got, wide(x), kF32); });
  }
}

TEST(ElementwiseBackward, ScatterAddsRowsOfATokenInOrder) {
  constexpr int64_t kN = 70, kTable = 5;
  const std::vector<int32_t> tokens = {3, 0, 3, 3, 4, 0};
  const Values rows = normal_values(std::ssize(tokens) * kN, 12);
  on_every_set(
      [&](const Compute& compute) {
        Values table(kTable * kN, 0.5f);
        scatter_add_rows(compute, tokens, rows.data(), kN, table.data());
        return table;
      },
      [&](const Values& got) {
        Values want(kTable * kN, 0.5f);
        for (size_t i = 0; i < tokens.size(); ++i) {
          for (size_t j = 0; j < kN; ++j)
            want[static_cast<size_t>(tokens[i]) * kN + j] += rows[i * kN + j];
        }
        EXPECT_EQ(got, want);
      });
}

TEST(ElementwiseBackward, DotAndScale) {
  for (const int64_t n : {0, 1, 16, 33}) {
    const Values x = normal_values(n, 13), y = normal_values(n, 14);
    double want = 0;
    for (size_t i = 0; i < x.size(); ++i)
      want += static_cast<double>(x[i]) * static_cast<double>(y[i]);
    for (const Isa isa : available_isas()) {
      EXPECT_NEAR(dot_row(isa, x.data(), y.data(), n), want, 1e-5);
      Values scaled = x;
      scale_row(isa, -2.5f, scaled.data(), n);
      for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(scaled[i], -2.5f * x[i]);
    }
  }
}

}  // namespace
}  // namespace fathom
