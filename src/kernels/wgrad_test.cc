// Goal: weight gradients are the sums of wgrad.h in every precision. Method: the formula in double
// over values rounded as the header says; row lists, formats, several jobs; threads and companions
// change no bit.
#include "kernels/wgrad.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tensor/numeric.h"
#include "tests/support/gradient_testing.h"

namespace fathom {
namespace {

using gradient_testing::expect_close;
using gradient_testing::normal_values;
using gradient_testing::on_every_set;
using gradient_testing::Values;

constexpr int64_t kBlockRows = 128;

struct Case {
  int64_t n_rows, n, k;
  bool lists;
};

struct Operands {
  explicit Operands(const Case& c)
      : dy(normal_values((c.n_rows + 3) * c.n, 1, 0.01f)),
        x(normal_values((c.n_rows + 5) * c.k, 2)),
        dy_rows(static_cast<size_t>(c.n_rows)),
        x_rows(static_cast<size_t>(c.n_rows)) {
    for (int64_t t = 0; t < c.n_rows; ++t) {
      dy_rows[static_cast<size_t>(t)] = static_cast<int32_t>((t * 7 + 2) % (c.n_rows + 3));
      x_rows[static_cast<size_t>(t)] = static_cast<int32_t>((t * 3 + 1) % (c.n_rows + 5));
    }
  }
  WgradJob job(const Case& c, float* dw) const {
    return {.dy = f32_rows(dy.data(), c.n),
            .dy_rows = c.lists ? dy_rows.data() : nullptr,
            .x = f32_rows(x.data(), c.k),
            .x_rows = c.lists ? x_rows.data() : nullptr,
            .n_rows = c.n_rows,
            .n = c.n,
            .k = c.k,
            .dw = dw};
  }
  Values dy, x;
  std::vector<int32_t> dy_rows, x_rows;
};

// Column j of a block's rows as the precision rounds it, scale included.
std::vector<double> rounded_column(const Values& values, const std::vector<int32_t>& rows,
                                   int64_t width, int64_t j, GradientPrecision precision) {
  std::vector<double> out;
  float amax = 0;
  for (const int32_t row : rows)
    amax = std::max(amax, std::fabs(values[static_cast<size_t>(row * width + j)]));
  const float scale = fp8_scale(amax, false);
  for (const int32_t row : rows) {
    const float v = values[static_cast<size_t>(row * width + j)];
    switch (precision) {
      case GradientPrecision::kF32:
        out.push_back(static_cast<double>(v));
        break;
      case GradientPrecision::kBf16:
        out.push_back(static_cast<double>(round_to_bf16(v)));
        break;
      case GradientPrecision::kFp8:
        out.push_back(static_cast<double>(e4m3_to_f32(f32_to_e4m3(v / scale))) *
                      static_cast<double>(scale));
        break;
    }
  }
  return out;
}

std::vector<double> formula(const Case& c, const Operands& o, GradientPrecision precision) {
  std::vector<double> dw(static_cast<size_t>(c.n * c.k), 1.0);  // it is added to
  for (int64_t first = 0; first < c.n_rows; first += kBlockRows) {
    const int64_t rows = std::min(kBlockRows, c.n_rows - first);
    std::vector<int32_t> dy_rows(static_cast<size_t>(rows)), x_rows(dy_rows);
    for (int64_t t = 0; t < rows; ++t) {
      const auto at = static_cast<size_t>(first + t);
      dy_rows[static_cast<size_t>(t)] = c.lists ? o.dy_rows[at] : static_cast<int32_t>(first + t);
      x_rows[static_cast<size_t>(t)] = c.lists ? o.x_rows[at] : static_cast<int32_t>(first + t);
    }
    std::vector<std::vector<double>> x_columns;
    for (int64_t j = 0; j < c.k; ++j)
      x_columns.push_back(rounded_column(o.x, x_rows, c.k, j, precision));
    for (int64_t i = 0; i < c.n; ++i) {
      const auto dy = rounded_column(o.dy, dy_rows, c.n, i, precision);
      for (int64_t j = 0; j < c.k; ++j)
        dw[static_cast<size_t>(i * c.k + j)] += std::inner_product(
            dy.begin(), dy.end(), x_columns[static_cast<size_t>(j)].begin(), 0.0);
    }
  }
  return dw;
}

const Case kCases[] = {{1, 1, 1, false},     {5, 17, 33, false},   {127, 16, 32, true},
                       {128, 40, 24, true},  {129, 33, 70, false}, {300, 130, 50, true},
                       {200, 20, 520, false}};

void expect_formula(GradientPrecision precision, double relative) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(str_cat(c.n_rows, " rows, ", c.n, " x ", c.k));
    const Operands operands(c);
    const auto want = formula(c, operands, precision);
    on_every_set(
        [&](const Compute& compute) {
          Values dw(static_cast<size_t>(c.n * c.k), 1.0f);
          WgradWorkspace workspace(compute.pool->n_threads());
          const WgradJob job = operands.job(c, dw.data());
          wgrad(compute, precision, {&job, 1}, workspace);
          return dw;
        },
        [&](const Values& got) { expect_close(got, want, relative); });
  }
}

// Sums of 300 products in F32 at most; the ones that are added to make the norm.
TEST(Wgrad, F32) { expect_formula(GradientPrecision::kF32, 1e-6); }
TEST(Wgrad, Bf16) { expect_formula(GradientPrecision::kBf16, 1e-6); }
TEST(Wgrad, Fp8) { expect_formula(GradientPrecision::kFp8, 1e-6); }

TEST(Wgrad, NoRowsAddNothing) {
  Pool pool(2);
  WgradWorkspace workspace(2);
  Values dw(6, 2.0f);
  const WgradJob job = {.dy = f32_rows(nullptr, 2),
                        .x = f32_rows(nullptr, 3),
                        .n_rows = 0,
                        .n = 2,
                        .k = 3,
                        .dw = dw.data()};
  wgrad({available_isas().back(), &pool}, GradientPrecision::kFp8, {&job, 1}, workspace);
  EXPECT_EQ(dw, Values(6, 2.0f));
}

// More operands than are packed at a time, in company: the same bits as alone.
TEST(Wgrad, CompanyChangesNoBit) {
  const std::vector<Case> cases = {
      {700, 48, 3000, false}, {40, 20, 30, true}, {1500, 700, 900, false}};
  Pool pool(2);
  const Compute compute = {available_isas().back(), &pool};
  for (const GradientPrecision precision : {GradientPrecision::kF32, GradientPrecision::kFp8}) {
    std::vector<Operands> operands(cases.begin(), cases.end());
    std::vector<Values> together, alone;
    std::vector<WgradJob> jobs;
    for (const Case& c : cases) together.emplace_back(static_cast<size_t>(c.n * c.k));
    alone = together;
    for (size_t i = 0; i < cases.size(); ++i)
      jobs.push_back(operands[i].job(cases[i], together[i].data()));
    WgradWorkspace workspace(2);
    wgrad(compute, precision, jobs, workspace);
    for (size_t i = 0; i < cases.size(); ++i) {
      const WgradJob job = operands[i].job(cases[i], alone[i].data());
      wgrad(compute, precision, {&job, 1}, workspace);
      EXPECT_EQ(together[i], alone[i]) << i;
    }
  }
}

TEST(Wgrad, ReadsKeptRows) {
  constexpr Case kCase = {200, 24, 300, true};
  const Operands operands(kCase);
  on_every_set(
      [&](const Compute& compute) {
        Values dw(static_cast<size_t>(kCase.n * kCase.k)), direct = dw;
        SavedRows kept(SavedFormat::kFp8, kCase.n_rows + 5, kCase.k);
        kept.store(compute, operands.x.data(), kCase.k, kCase.n_rows + 5, kCase.k);
        Values seen(operands.x.size());
        kept.load(compute, seen.data(), kCase.k);
        WgradWorkspace workspace(compute.pool->n_threads());
        WgradJob job = operands.job(kCase, dw.data());
        job.x = kept.view();
        wgrad(compute, GradientPrecision::kFp8, {&job, 1}, workspace);
        job.x = f32_rows(seen.data(), kCase.k);
        job.dw = direct.data();
        wgrad(compute, GradientPrecision::kFp8, {&job, 1}, workspace);
        EXPECT_EQ(dw, direct);
        return dw;
      },
      [](const Values& got) { EXPECT_NE(got[0], 0.0f); });
}

}  // namespace
}  // namespace fathom
