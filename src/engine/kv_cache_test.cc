// Goal: blocks are handed out once, given back once, and their memory does not overlap.
#include "engine/kv_cache.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>

namespace fathom {
namespace {

const KvLayout kLayout = {.dtype = KvDtype::kBf16, .kv_lora_rank = 32, .qk_rope_head_dim = 8};

TEST(KvPool, SequencesShareABudget) {
  const int64_t per_block = KvPool::bytes_per_block(kLayout, 3);
  auto pool = KvPool::create(kLayout, 3, 5 * per_block + 17);
  ASSERT_TRUE(pool.ok());
  EXPECT_EQ(pool->n_blocks(), 5);
  {
    KvSequence a(*pool, 200), b(*pool, 200);
    EXPECT_TRUE(a.reserve(65));
    EXPECT_EQ(pool->n_free(), 3);
    EXPECT_TRUE(a.reserve(128));
    EXPECT_EQ(pool->n_free(), 3);
    EXPECT_FALSE(b.reserve(200));  // four blocks: one too many, and none is taken
    EXPECT_EQ(pool->n_free(), 3);
    EXPECT_TRUE(b.reserve(192));
    a.release(64);
    EXPECT_EQ(pool->n_free(), 1);
    std::set<std::byte*> seen;
    for (int64_t layer = 0; layer < 3; ++layer) {
      seen.insert(a.blocks(layer)[0]);
      for (int64_t i = 0; i < 3; ++i) {
        std::memset(b.blocks(layer)[i], 0x55, static_cast<size_t>(kLayout.block_bytes()));
        seen.insert(b.blocks(layer)[i]);
      }
    }
    EXPECT_EQ(seen.size(), 12u);
  }
  EXPECT_EQ(pool->n_free(), 5);
}

TEST(KvPool, TooSmallABudgetIsAnError) { EXPECT_FALSE(KvPool::create(kLayout, 3, 100).ok()); }

}  // namespace
}  // namespace fathom
