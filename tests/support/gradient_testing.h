// What the tests of the pass back share: values, and a run on every instruction set with one and
// several threads, which must give the same bytes.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include "kernels/isa_testing.h"

namespace fathom::gradient_testing {

inline std::vector<float> normal_values(int64_t n, uint32_t seed, float deviation = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> values(static_cast<size_t>(n));
  for (float& v : values) v = normal(random);
  return values;
}

using Values = std::vector<float>;
// Calls compute -> values for every set, and check(values) on each; 1 and 3 threads agree.
inline void on_every_set(const std::function<Values(const Compute&)>& run,
                         const std::function<void(const Values&)>& check) {
  for (const Isa isa : isa_testing::isas_of_long_tests()) {
    SCOPED_TRACE(isa_name(isa));
    Pool one(1), three(3);
    const Values values = run({isa, &one});
    check(values);
    const Values again = run({isa, &three});
    ASSERT_EQ(values.size(), again.size());
    EXPECT_TRUE(values.empty() ||
                std::memcmp(values.data(), again.data(), values.size() * sizeof(float)) == 0)
        << "threads";
  }
}

// The error's norm against that of what is wanted.
inline void expect_close(const Values& got, const std::vector<double>& want, double relative) {
  ASSERT_EQ(got.size(), want.size());
  double error = 0, norm = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    error += std::pow(static_cast<double>(got[i]) - want[i], 2);
    norm += want[i] * want[i];
  }
  EXPECT_LE(std::sqrt(error), relative * std::sqrt(norm));
}

}  // namespace fathom::gradient_testing
