#include <gtest/gtest.h>

#include "base/math.h"
#include "base/result.h"
#include "base/seconds_since.h"
#include "base/str_cat.h"

namespace fathom {
namespace {

Result<int> positive(int x) {
  if (x <= 0) return invalid_error("x is ", x, ", expected more than 0");
  return x;
}
Result<int> twice(int x) {
  FATHOM_TRY(const int y, positive(x));
  return 2 * y;
}

TEST(Result, CarriesValueOrError) {
  EXPECT_EQ(twice(4).value(), 8);
  ASSERT_FALSE(twice(-1).ok());
  EXPECT_EQ(twice(-1).error().message, "x is -1, expected more than 0");
}

TEST(StrCat, WritesShortestRoundTripNumbers) {
  EXPECT_EQ(str_cat("a", 'b', 1, -2L, 3u, 0.1f, 0.1, true), "ab1-230.10.1true");
  EXPECT_EQ(str_list(std::initializer_list<int64_t>{1, 2}), "[1, 2]");
}

TEST(SecondsSince, CountsForward) {
  const auto start = std::chrono::steady_clock::now() - std::chrono::milliseconds(1500);
  EXPECT_GE(seconds_since(start), 1.5);
}

TEST(Math, SeesOverflow) {
  int64_t out = 7;
  EXPECT_FALSE(checked_mul(int64_t{1} << 62, 4, &out));
  EXPECT_EQ(out, 7);
  EXPECT_TRUE(checked_mul(3, 4, &out));
  EXPECT_EQ(out, 12);
  EXPECT_FALSE(checked_add(std::numeric_limits<int64_t>::max(), 1, &out));
  EXPECT_EQ(ceil_div(129, 128), 2);
}

}  // namespace
}  // namespace fathom
