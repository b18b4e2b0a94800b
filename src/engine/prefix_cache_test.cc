// Goal: a sequence is given the blocks of those that began like it, within its partition only, and
// blocks go when room is needed: unused ones, the oldest first, ends before beginnings.
#include "engine/prefix_cache.h"

#include <gtest/gtest.h>

#include <numeric>

namespace fathom {
namespace {

constexpr KvLayout kLayout = {.dtype = KvDtype::kBf16, .kv_lora_rank = 32, .qk_rope_head_dim = 8};

std::vector<int32_t> tokens_of(int64_t n, int32_t first) {
  std::vector<int32_t> tokens(static_cast<size_t>(n));
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

class PrefixCacheTest : public ::testing::Test {
 protected:
  // A sequence that computed the rows of tokens and kept them.
  void compute(const std::vector<int32_t>& tokens, const std::string& partition = "",
               bool has_module_rows = true) {
    KvSequence kv(pool_, 1024);
    ASSERT_TRUE(kv.reserve(std::ssize(tokens)));
    PrefixCache::Place place;
    cache_.keep(partition, tokens, std::ssize(tokens), has_module_rows, kv, place);
  }
  int64_t known(const std::vector<int32_t>& tokens, const std::string& partition = "") {
    KvSequence kv(pool_, 1024);
    return cache_.adopt(partition, tokens, std::ssize(tokens), kv).n_positions;
  }

  KvPool pool_ = KvPool::create(kLayout, 2, 10 * KvPool::bytes_per_block(kLayout, 2)).value();
  PrefixCache cache_{pool_};
};

TEST_F(PrefixCacheTest, WholeBlocksThatBeginAlike) {
  const auto tokens = tokens_of(200, 0);
  EXPECT_EQ(known(tokens), 0);
  compute(tokens);
  EXPECT_EQ(cache_.n_blocks(), 3);
  EXPECT_EQ(pool_.n_free(), 7);
  EXPECT_EQ(known(tokens), 192);
  EXPECT_EQ(known(tokens_of(130, 0)), 128);
  EXPECT_EQ(known(tokens_of(63, 0)), 0);
  EXPECT_EQ(known(tokens_of(130, 1)), 0);
  auto other_end = tokens;
  other_end[100] = 7;
  EXPECT_EQ(known(other_end), 64);
  compute(other_end);
  EXPECT_EQ(cache_.n_blocks(), 5);  // the first is shared
  EXPECT_EQ(known(other_end), 192);
  EXPECT_EQ(known(tokens), 192);
}

TEST_F(PrefixCacheTest, NoMoreThanAskedFor) {
  compute(tokens_of(256, 0));
  KvSequence kv(pool_, 1024);
  EXPECT_EQ(cache_.adopt("", tokens_of(256, 0), 255, kv).n_positions, 192);
  EXPECT_EQ(kv.n_blocks(), 3);
  EXPECT_EQ(pool_.n_holders(kv.block(0)), 2);
}

TEST_F(PrefixCacheTest, PartitionsAreApart) {
  compute(tokens_of(128, 0), "a");
  EXPECT_EQ(known(tokens_of(128, 0), "b"), 0);
  EXPECT_EQ(known(tokens_of(128, 0), ""), 0);
  EXPECT_EQ(known(tokens_of(128, 0), "a"), 128);
}

TEST_F(PrefixCacheTest, TwoThatComputedTheSameShareOneCopy) {
  const auto tokens = tokens_of(128, 0);
  KvSequence a(pool_, 1024), b(pool_, 1024);
  ASSERT_TRUE(a.reserve(128) && b.reserve(128));
  EXPECT_EQ(pool_.n_free(), 6);
  PrefixCache::Place place_a, place_b;
  cache_.keep("", tokens, 128, true, a, place_a);
  cache_.keep("", tokens, 128, true, b, place_b);
  EXPECT_EQ(a.block(1), b.block(1));
  EXPECT_EQ(a.blocks(1)[1], b.blocks(1)[1]);
  EXPECT_EQ(pool_.n_free(), 8);
}

TEST_F(PrefixCacheTest, AsASequenceGrows) {
  const auto tokens = tokens_of(256, 0);
  KvSequence kv(pool_, 1024);
  PrefixCache::Place place;
  for (int64_t n = 1; n <= 256; n += 17) {
    ASSERT_TRUE(kv.reserve(n));
    cache_.keep("", std::span(tokens).first(static_cast<size_t>(n)), n, true, kv, place);
    EXPECT_EQ(cache_.n_blocks(), n / 64);
    EXPECT_EQ(known(tokens), n / 64 * 64);
  }
}

TEST_F(PrefixCacheTest, OldestUnusedEndsGoFirst) {
  compute(tokens_of(192, 0));
  compute(tokens_of(192, 1000));
  EXPECT_EQ(known(tokens_of(192, 0)), 192);  // used later than the second
  EXPECT_TRUE(cache_.make_room(6));
  EXPECT_EQ(known(tokens_of(192, 1000)), 64);
  EXPECT_EQ(known(tokens_of(192, 0)), 192);
  {
    KvSequence kv(pool_, 1024);
    EXPECT_EQ(cache_.adopt("", tokens_of(192, 0), 128, kv).n_positions, 128);
    EXPECT_FALSE(cache_.make_room(9));  // two are in use: nothing goes
    EXPECT_EQ(cache_.n_blocks(), 4);
    EXPECT_TRUE(cache_.make_room(8));
    EXPECT_EQ(cache_.n_blocks(), 2);
  }
  EXPECT_TRUE(cache_.make_room(10));
  EXPECT_EQ(cache_.n_blocks(), 0);
  EXPECT_EQ(cache_.n_evicted(), 6);
}

TEST_F(PrefixCacheTest, KnowsWhereModuleRowsAreMissing) {
  compute(tokens_of(64, 0), "", false);
  compute(tokens_of(128, 0), "", true);
  KvSequence kv(pool_, 1024), none(pool_, 1024);
  EXPECT_FALSE(cache_.adopt("", tokens_of(128, 0), 128, kv).has_module_rows);
  EXPECT_TRUE(cache_.adopt("", tokens_of(128, 5), 128, none).has_module_rows);
}

TEST_F(PrefixCacheTest, GivesAllBackAtItsEnd) {
  {
    PrefixCache cache(pool_);
    KvSequence kv(pool_, 1024);
    ASSERT_TRUE(kv.reserve(640));
    PrefixCache::Place place;
    cache.keep("", tokens_of(640, 0), 640, true, kv, place);
    EXPECT_EQ(pool_.n_free(), 0);
  }
  EXPECT_EQ(pool_.n_free(), 10);
}

}  // namespace
}  // namespace fathom
