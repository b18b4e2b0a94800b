// Goal: the checksum is XXH64 whatever pieces the data come in.
// Method: values that are known of it, and one text cut at every place.
#include "base/xxh64.h"

#include <gtest/gtest.h>

#include <string>

namespace fathom {
namespace {

uint64_t hash_of(std::string_view text) {
  Xxh64 hash;
  hash.update(text);
  return hash.digest();
}

TEST(Xxh64, KnownValues) {
  EXPECT_EQ(hash_of(""), 0xef46db3751d8e999u);
  EXPECT_EQ(hash_of("a"), 0xd24ec4f1a98c6e5bu);
  EXPECT_EQ(hash_of("abc"), 0x44bc2cf5ad770999u);
  EXPECT_EQ(hash_of("Nobody inspects the spammish repetition"), 0xfbcea83c8a378bf1u);
}

TEST(Xxh64, PiecesDoNotMatter) {
  std::string text;
  for (int i = 0; i < 150; ++i) text += static_cast<char>(i * 7);
  const uint64_t whole = hash_of(text);
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    Xxh64 hash;
    hash.update(std::string_view(text).substr(0, cut));
    hash.update(std::string_view(text).substr(cut));
    EXPECT_EQ(hash.digest(), whole) << cut;
  }
  EXPECT_NE(hash_of(text + "x"), whole);
}

TEST(Xxh64, IsWrittenAs16Digits) {
  EXPECT_EQ(xxh64_hex(Xxh64().digest()), "ef46db3751d8e999");  // xxhsum -H1 of nothing
  EXPECT_EQ(xxh64_hex(10), "000000000000000a");
}

}  // namespace
}  // namespace fathom
