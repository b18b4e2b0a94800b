// Goal: a step's rows are all used, the first in line moves, short prompts pass long ones, and deep
// pieces are not cut small.
#include "engine/schedule.h"

#include <gtest/gtest.h>

#include <numeric>

namespace fathom {
namespace {

std::vector<int64_t> shared(std::vector<PrefillNeed> needs, int64_t n_rows) {
  std::vector<int64_t> rows;
  share_prefill(needs, n_rows, rows);
  return rows;
}

using Rows = std::vector<int64_t>;

TEST(SharePrefill, OneAloneGetsAll) {
  EXPECT_EQ(shared({}, 100), Rows());
  EXPECT_EQ(shared({{0, 40}}, 100), Rows({40}));
  EXPECT_EQ(shared({{0, 400}}, 100), Rows({100}));
  EXPECT_EQ(shared({{0, 1}}, 1), Rows({1}));
}

TEST(SharePrefill, ShortOnesPassALongOne) {
  EXPECT_EQ(shared({{0, 100000}, {0, 300}, {0, 20}}, 1000), Rows({680, 300, 20}));
  EXPECT_EQ(shared({{0, 100000}, {0, 3000}, {0, 20}}, 1000), Rows({500, 480, 20}));
  // The first in line keeps half, however many come after it.
  EXPECT_EQ(shared({{0, 900}, {0, 60}, {0, 60}, {0, 60}}, 100), Rows({50, 50, 0, 0}));
}

TEST(SharePrefill, WhatTheFirstLeavesGoesDownTheLine) {
  EXPECT_EQ(shared({{0, 10}, {0, 500}, {0, 400}}, 600), Rows({10, 190, 400}));
}

TEST(SharePrefill, DeepPiecesAreLongOrTheRest) {
  EXPECT_EQ(shared({{4096, 5000}, {0, 900}}, 600), Rows({512, 88}));
  EXPECT_EQ(shared({{0, 5000}, {4096, 5000}}, 600), Rows({600, 0}));
  EXPECT_EQ(shared({{0, 5000}, {4096, 100}}, 600), Rows({500, 100}));
  EXPECT_EQ(shared({{4096, 5000}}, 64), Rows({64}));  // no step holds more: it goes on
}

TEST(SharePrefill, NeverMoreThanTheStepHolds) {
  for (int64_t n_rows = 1; n_rows < 40; ++n_rows) {
    const Rows rows = shared({{0, 7}, {3000, 11}, {0, 2}, {0, 30}}, n_rows);
    const int64_t sum = std::accumulate(rows.begin(), rows.end(), int64_t{0});
    EXPECT_LE(sum, n_rows);
    EXPECT_GE(rows[0], std::min<int64_t>(7, (n_rows + 1) / 2));
  }
}

}  // namespace
}  // namespace fathom
