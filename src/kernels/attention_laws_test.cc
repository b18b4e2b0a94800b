// Goal: the bytes of a row depend on nothing but its query, its position and the cached rows up to
// it. Method: each row alone on one thread is the reference; chunks, neighbours, threads and
// garbage must not change a bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/attention.h"
#include "kernels/attention_fixture.h"
#include "kernels/isa_testing.h"

namespace fathom {
namespace {

using namespace attention_fixture;  // NOLINT: a test's own vocabulary

class AttentionLaws : public testing::TestWithParam<KvDtype> {};
INSTANTIATE_TEST_SUITE_P(Kv, AttentionLaws,
                         testing::Values(KvDtype::kF32, KvDtype::kBf16, KvDtype::kFp8));

// The reference for the laws: every row in a call of its own, one thread.
std::vector<float> one_by_one(Isa isa, const AttentionShape& shape, const LinearWeight& kv_b,
                              const Piece& piece) {
  std::vector<float> o;
  for (int64_t i = 0; i < piece.n_rows; ++i) {
    const std::vector<float> row =
        run(isa, shape, kv_b, {piece.sequence, piece.first_position + i, 1, piece.absorbed});
    o.insert(o.end(), row.begin(), row.end());
  }
  return o;
}

TEST_P(AttentionLaws, ChunksOfAPromptAreInvisible) {
  const AttentionShape shape = small_shape();
  const Weight weight(shape, Dtype::kBF16, 5);
  const Sequence sequence(shape, GetParam(), 200, 6);
  for (Isa isa : available_isas()) {
    for (bool absorbed : {false, true}) {
      const std::vector<float> whole = run(isa, shape, weight.view, {&sequence, 0, 200, absorbed});
      for (int64_t chunk : {1, 7, 64}) {
        std::vector<float> o;
        for (int64_t p = 0; p < 200; p += chunk) {
          const std::vector<float> part =
              run(isa, shape, weight.view, {&sequence, p, std::min(chunk, 200 - p), absorbed});
          o.insert(o.end(), part.begin(), part.end());
        }
        EXPECT_TRUE(same_bytes(o, whole))
            << name_of(isa, absorbed, GetParam()) << " in chunks of " << chunk;
      }
    }
  }
}

TEST_P(AttentionLaws, NeighboursAndThreadsAreInvisible) {
  AttentionShape shape = wide_shape();
  if (isa_testing::kEmulated) shape.n_heads = 4;
  const Weight weight(shape, Dtype::kF8E4M3, 7);
  const Sequence a(shape, GetParam(), 4200, 8);
  const Sequence b(shape, GetParam(), 130, 9);
  const Sequence c(shape, GetParam(), 64, 10);
  for (Isa isa : available_isas()) {
    if (isa == Isa::kRef) continue;  // too slow at this depth; the other laws cover it
    const std::vector<Piece> pieces = {{&a, 4095, 3, false},
                                       {&b, 0, 130, true},
                                       {&a, 2047, 2, true},
                                       {&c, 0, 64, false},
                                       {&a, 4190, 10, true}};
    const std::vector<float> together = run(isa, 1, shape, weight.view, pieces);
    for (int n_threads : {2, 3}) {
      EXPECT_TRUE(same_bytes(run(isa, n_threads, shape, weight.view, pieces), together))
          << isa_name(isa) << " with " << n_threads << " threads";
    }
    int64_t row = 0;
    for (const Piece& piece : pieces) {
      EXPECT_TRUE(same_bytes(rows_of(together, shape, row, piece.n_rows),
                             one_by_one(isa, shape, weight.view, piece)))
          << name_of(isa, piece.absorbed, GetParam()) << " position " << piece.first_position;
      row += piece.n_rows;
    }
  }
}

TEST_P(AttentionLaws, ThreadsShareOneLongQuery) {
  const AttentionShape shape = small_shape();
  const Weight weight(shape, Dtype::kF32, 11);
  const Sequence sequence(shape, GetParam(), 4101, 12);
  for (Isa isa : available_isas()) {
    for (int64_t p : {2046, 2047, 2048, 4100}) {
      const std::vector<float> alone = run(isa, 1, shape, weight.view, {{&sequence, p, 1, true}});
      EXPECT_TRUE(same_bytes(run(isa, 3, shape, weight.view, {{&sequence, p, 1, true}}), alone))
          << isa_name(isa) << p;
    }
  }
}

// Rows after a row's position hold NaN (unwritten memory), and so do the neighbours' rows in the
// same block and call.
TEST_P(AttentionLaws, RowsPastThePositionAreNeverRead) {
  const AttentionShape shape = small_shape();
  const Weight weight(shape, Dtype::kF32, 13);
  const Sequence full(shape, GetParam(), 128, 14);
  for (int64_t n : {1, 2, 37, 64, 65, 100}) {
    Sequence cut(shape, GetParam(), 128, 14);
    for (int64_t p = n; p < 128; ++p) {
      std::memset(const_cast<std::byte*>(cut.row(p)), 0xff,
                  static_cast<size_t>(cut.layout().row_bytes()));
    }
    for (Isa isa : available_isas()) {
      for (bool absorbed : {false, true}) {
        const std::vector<float> want = run(isa, shape, weight.view, {&full, n - 1, 1, absorbed});
        EXPECT_TRUE(same_bytes(run(isa, shape, weight.view, {&cut, n - 1, 1, absorbed}), want))
            << name_of(isa, absorbed, GetParam()) << " " << n;
        // A call that also computes the rows of NaN.
        const std::vector<float> chunk = run(isa, shape, weight.view, {&cut, 0, 128, absorbed});
        EXPECT_TRUE(same_bytes(rows_of(chunk, shape, n - 1, 1), want))
            << name_of(isa, absorbed, GetParam()) << " " << n;
        EXPECT_TRUE(std::isnan(chunk.back()));
      }
    }
  }
}

}  // namespace
}  // namespace fathom
