// Goal: what the products of a trained layer read is what the formats say. Method: the scalar
// definitions, block by block; a transpose by its law; sizes around blocks.
#include "kernels/trained_layouts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/math.h"
#include "tensor/numeric.h"
#include "tests/support/gradient_testing.h"

namespace fathom {
namespace {

using gradient_testing::normal_values;

struct Shape {
  int64_t n, k;
};
constexpr Shape kShapes[] = {{1, 1}, {7, 130}, {128, 128}, {129, 257}, {300, 64}};

TEST(TrainedLayouts, BlocksAreThoseOfTheSpec) {
  for (const Shape& s : kShapes) {
    auto w = normal_values(s.n * s.k, 5, 0.02f);
    w[0] = 0x1p-30f;  // far below the block's largest
    const int64_t k_blocks = ceil_div(s.k, int64_t{128});
    for (const Isa isa : available_isas()) {
      for (const bool ue8m0 : {false, true}) {
        Pool pool(2);
        std::vector<uint8_t> codes(w.size());
        std::vector<float> scales(static_cast<size_t>(ceil_div(s.n, int64_t{128}) * k_blocks));
        quantize_blocks({isa, &pool}, w.data(), s.n, s.k, ue8m0, codes.data(), scales.data());
        for (int64_t r = 0; r < s.n; ++r) {
          for (int64_t c = 0; c < s.k; ++c) {
            float amax = 0;
            for (int64_t i = r / 128 * 128; i < std::min(s.n, r / 128 * 128 + 128); ++i) {
              for (int64_t j = c / 128 * 128; j < std::min(s.k, c / 128 * 128 + 128); ++j)
                amax = std::max(amax, std::fabs(w[static_cast<size_t>(i * s.k + j)]));
              if (r > 2 && r % 50 != 0) break;  // the whole block for some rows only
            }
            const float scale = scales[static_cast<size_t>(r / 128 * k_blocks + c / 128)];
            if (r <= 2 || r % 50 == 0) {
              ASSERT_EQ(scale, fp8_scale(amax, ue8m0)) << isa_name(isa);
            }
            const auto at = static_cast<size_t>(r * s.k + c);
            ASSERT_EQ(codes[at], f32_to_e4m3(w[at] / scale)) << isa_name(isa) << " " << w[at];
          }
        }
      }
    }
  }
}

TEST(TrainedLayouts, RoundsToBf16) {
  const auto w = normal_values(100'003, 6);
  for (const Isa isa : available_isas()) {
    Pool pool(2);
    std::vector<uint16_t> out(w.size());
    round_bf16({isa, &pool}, w.data(), out.data(), std::ssize(w));
    for (size_t i = 0; i < w.size(); ++i) ASSERT_EQ(out[i], f32_to_bf16(w[i]));
  }
}

template <typename T>
void expect_transposed() {
  for (const Shape& s : kShapes) {
    std::vector<T> w(static_cast<size_t>(s.n * s.k)), out(w.size());
    for (size_t i = 0; i < w.size(); ++i) w[i] = static_cast<T>(i * 31 % 251);
    Pool pool(2);
    transpose({Isa::kRef, &pool}, w.data(), s.n, s.k, out.data());
    for (int64_t r = 0; r < s.n; ++r) {
      for (int64_t c = 0; c < s.k; ++c)
        ASSERT_EQ(out[static_cast<size_t>(c * s.n + r)], w[static_cast<size_t>(r * s.k + c)]);
    }
  }
}

TEST(TrainedLayouts, Transposes) {
  expect_transposed<float>();
  expect_transposed<uint16_t>();
  expect_transposed<uint8_t>();
}

}  // namespace
}  // namespace fathom
