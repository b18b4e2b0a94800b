// Goal: what a cache held is there again after a restart, bytes and order, and no file of another
// model or a damaged one is taken. Method: save, load into an empty cache, look.
#include "engine/prefix_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>

namespace fathom {
namespace {

constexpr KvLayout kLayout = {.dtype = KvDtype::kBf16, .kv_lora_rank = 32, .qk_rope_head_dim = 8};
const PrefixOrigin kOrigin = {.fingerprint = "this", .vocab_size = 1000};

struct Server {
  KvPool pool = KvPool::create(kLayout, 2, 10 * KvPool::bytes_per_block(kLayout, 2)).value();
  PrefixCache cache{pool};

  // Rows that tell where they come from.
  void compute(const std::vector<int32_t>& tokens, const std::string& partition, int mark) {
    KvSequence kv(pool, 1024);
    ASSERT_TRUE(kv.reserve(std::ssize(tokens)));
    for (int64_t i = 0; i < kv.n_blocks(); ++i)
      std::memset(pool.data(kv.block(i), 0), mark + static_cast<int>(i), n_bytes());
    PrefixCache::Place place;
    cache.keep(partition, tokens, std::ssize(tokens), true, kv, place);
  }
  std::vector<int> marks(const std::vector<int32_t>& tokens, const std::string& partition) {
    KvSequence kv(pool, 1024);
    cache.adopt(partition, tokens, std::ssize(tokens), kv);
    std::vector<int> out;
    for (int64_t i = 0; i < kv.n_blocks(); ++i) {
      const std::byte* const rows = pool.data(kv.block(i), 0);
      out.push_back(static_cast<int>(rows[0]));
      EXPECT_EQ(rows[n_bytes() - 1], rows[0]);
    }
    return out;
  }
  static size_t n_bytes() { return static_cast<size_t>(KvPool::bytes_per_block(kLayout, 2)); }
};

std::vector<int32_t> tokens_of(int64_t n, int32_t first) {
  std::vector<int32_t> tokens(static_cast<size_t>(n));
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

class PrefixFile : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = ::testing::TempDir() + "prefixes_" + std::to_string(::getpid()) + ".safetensors";
    first_.compute(tokens_of(200, 0), "", 10);
    auto fork = tokens_of(200, 0);
    fork[130] = 999;
    first_.compute(fork, "", 20);
    first_.compute(tokens_of(64, 500), "other", 30);
    ASSERT_TRUE(save_prefixes(path_, kOrigin, first_.cache, first_.pool).ok());
  }
  void TearDown() override { std::filesystem::remove(path_); }

  std::string refused(const PrefixOrigin& origin) {
    Server server;
    const Result<int64_t> made = load_prefixes(path_, origin, server.cache, server.pool);
    EXPECT_EQ(server.cache.n_blocks(), 0);
    return made.ok() ? "taken" : made.error().message;
  }

  std::string path_;
  Server first_;
};

TEST_F(PrefixFile, IsThereAgain) {
  struct stat info {};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  Server second;
  const Result<int64_t> n = load_prefixes(path_, kOrigin, second.cache, second.pool);
  ASSERT_TRUE(n.ok()) << n.error().message;
  EXPECT_EQ(*n, 5);
  EXPECT_EQ(second.cache.n_blocks(), 5);
  EXPECT_EQ(second.marks(tokens_of(200, 0), ""), (std::vector<int>{10, 11, 12}));
  EXPECT_EQ(second.marks(tokens_of(64, 500), "other"), std::vector<int>{30});
  EXPECT_TRUE(second.marks(tokens_of(64, 500), "").empty());
  // Again: nothing is held twice.
  ASSERT_TRUE(load_prefixes(path_, kOrigin, second.cache, second.pool).ok());
  EXPECT_EQ(second.cache.n_blocks(), 5);
  EXPECT_EQ(second.pool.n_free(), 5);
  second.cache.clear();
  EXPECT_EQ(second.pool.n_free(), 10);
}

TEST_F(PrefixFile, AsMuchAsThereIsRoomFor) {
  Server full;
  std::vector<int64_t> taken;
  for (int i = 0; i < 8; ++i) taken.push_back(full.pool.take());
  const Result<int64_t> n = load_prefixes(path_, kOrigin, full.cache, full.pool);
  ASSERT_TRUE(n.ok());
  EXPECT_EQ(*n, 2);
  EXPECT_EQ(full.cache.n_blocks(), 2);
}

TEST_F(PrefixFile, OthersAndDamagedOnesAreRefused) {
  EXPECT_NE(refused({.fingerprint = "that", .vocab_size = 1000}).find("another model"),
            std::string::npos);
  EXPECT_NE(refused({.fingerprint = "this", .vocab_size = 100}).find("vocabulary"),
            std::string::npos);
  std::filesystem::resize_file(path_, std::filesystem::file_size(path_) - 1);
  EXPECT_NE(refused(kOrigin), "taken");
  std::ofstream(path_) << "nothing";
  EXPECT_NE(refused(kOrigin), "taken");
}

}  // namespace
}  // namespace fathom
