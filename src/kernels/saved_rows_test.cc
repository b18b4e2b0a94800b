// Goal: kept activations are what their formats say. Method: the scalar definitions of
// tensor/numeric.h and linear inputs' own FP8 for every value; E5M6 by its laws.
#include "kernels/saved_rows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/linear.h"
#include "tensor/numeric.h"
#include "tests/support/gradient_testing.h"

namespace fathom {
namespace {

using gradient_testing::normal_values;
using gradient_testing::on_every_set;
using gradient_testing::Values;

constexpr int64_t kRows = 5;

// Values over many powers of two, so that subnormals of the formats appear.
Values spread_values(int64_t n) {
  Values values = normal_values(n, 3);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = std::ldexp(values[i], static_cast<int>(i % 37) - 24);
  if (n > 2) values[1] = 0;
  return values;
}

Values through(const Compute& compute, SavedFormat format, const Values& x, int64_t k) {
  SavedRows rows(format, kRows, k);
  rows.store(compute, x.data(), k, kRows, k);
  Values out(x.size());
  rows.load(compute, out.data(), k);
  return out;
}

TEST(SavedRows, Fp8IsWhatLinearLayersSee) {
  for (const int64_t k : {1, 15, 127, 128, 129, 300}) {
    const Values x = spread_values(kRows * k);
    on_every_set([&](const Compute& c) { return through(c, SavedFormat::kFp8, x, k); },
                 [&](const Values& got) {
                   Pool pool(1);
                   LinearInput input(kRows, k);
                   input.prepare({Isa::kRef, &pool}, x.data(), k, kRows, k, InputFormat::kFp8);
                   for (int64_t m = 0; m < kRows; ++m) {
                     for (int64_t j = 0; j < k; ++j)
                       EXPECT_EQ(got[static_cast<size_t>(m * k + j)],
                                 input.value(m, j) * input.scales(m)[j / 128]);
                   }
                 });
  }
}

TEST(SavedRows, F32AndBf16) {
  constexpr int64_t kK = 33;
  const Values x = spread_values(kRows * kK);
  on_every_set([&](const Compute& c) { return through(c, SavedFormat::kF32, x, kK); },
               [&](const Values& got) { EXPECT_EQ(got, x); });
  on_every_set([&](const Compute& c) { return through(c, SavedFormat::kBf16, x, kK); },
               [&](const Values& got) {
                 for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(got[i], round_to_bf16(x[i]));
               });
}

// Six bits of mantissa: half a step of 2^-6 of the value's power of two, above the subnormals.
TEST(SavedRows, E5m6KeepsSixBitsInTilesOfAPowerOfTwo) {
  for (const int64_t k : {7, 128, 200}) {
    const Values x = spread_values(kRows * k);
    on_every_set([&](const Compute& c) { return through(c, SavedFormat::kE5m6, x, k); },
                 [&](const Values& got) {
                   for (int64_t m = 0; m < kRows; ++m) {
                     for (int64_t first = 0; first < k; first += 128) {
                       const auto begin = static_cast<size_t>(m * k + first);
                       const auto end = static_cast<size_t>(m * k + std::min(k, first + 128));
                       float amax = 0;
                       for (size_t i = begin; i < end; ++i) amax = std::max(amax, std::fabs(x[i]));
                       // The smallest power of two that brings amax to 65,024 at most; 2^-14 of it
                       // is the smallest normal.
                       const float scale = std::exp2(std::ceil(std::log2(amax / 65024.0f)));
                       for (size_t i = begin; i < end; ++i) {
                         const float magnitude = std::fabs(x[i]);
                         const float smallest = scale * 0x1p-14f;
                         const float step = magnitude < smallest
                                                ? smallest * 0x1p-6f
                                                : std::ldexp(1.0f, std::ilogb(magnitude)) * 0x1p-6f;
                         EXPECT_LE(std::fabs(got[i] - x[i]), step / 2) << x[i];
                         EXPECT_EQ(std::remainder(got[i], step), 0.0f) << x[i];
                       }
                     }
                   }
                 });
  }
}

TEST(SavedRows, ReadsRowsByNumber) {
  constexpr int64_t kK = 130;
  const Values x = spread_values(kRows * kK);
  Pool pool(1);
  const Compute compute = {available_isas().back(), &pool};
  for (const SavedFormat format :
       {SavedFormat::kF32, SavedFormat::kBf16, SavedFormat::kFp8, SavedFormat::kE5m6}) {
    SavedRows rows(format, kRows, kK);
    rows.store(compute, x.data(), kK, kRows, kK);
    Values all(x.size()), row(kK);
    rows.load(compute, all.data(), kK);
    read_row(compute.isa, rows.view(), 3, kK, row.data());
    EXPECT_TRUE(std::equal(row.begin(), row.end(), all.begin() + 3 * kK));
  }
}

TEST(SavedRows, NaNStaysNaN) {
  Values x(128, 1.0f);
  x[5] = std::numeric_limits<float>::quiet_NaN();
  for (const Isa isa : available_isas()) {
    Pool pool(1);
    for (const SavedFormat format : {SavedFormat::kBf16, SavedFormat::kFp8, SavedFormat::kE5m6}) {
      SavedRows rows(format, 1, 128);
      rows.store({isa, &pool}, x.data(), 128, 1, 128);
      Values out(128);
      rows.load({isa, &pool}, out.data(), 128);
      EXPECT_TRUE(std::isnan(out[5])) << isa_name(isa);
      EXPECT_EQ(out[6], 1.0f) << isa_name(isa);
    }
  }
}

}  // namespace
}  // namespace fathom
