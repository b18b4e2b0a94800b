// Goal: every byte asked for arrives, whatever the pieces and the file's end; what cannot be read
// is a sentence.
#include "io/block_reader.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "base/math.h"
#include "tests/support/temp_folder.h"

namespace fathom {
namespace {

using testing_support::put_file;
using testing_support::TempFolder;

std::string some_bytes(int64_t n) {
  std::string bytes(static_cast<size_t>(n), '\0');
  uint64_t state = 1;
  for (char& c : bytes) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    c = static_cast<char>(state >> 56);
  }
  return bytes;
}

struct Aligned {
  explicit Aligned(int64_t bytes)
      : data(static_cast<std::byte*>(
            ::operator new(static_cast<size_t>(bytes), std::align_val_t(kReadAlignment)))) {}
  ~Aligned() { ::operator delete(data, std::align_val_t(kReadAlignment)); }
  std::byte* data;
};

std::vector<BlockReader::Done> take_all(BlockReader& reader) {
  std::vector<BlockReader::Done> done;
  while (reader.n_pending() > 0) reader.take(done, true);
  return done;
}

TEST(BlockReader, ReadsManyPiecesOfManyRequestsUpToTheFilesEnd) {
  const TempFolder folder;
  const int64_t size = (int64_t{5} << 20) + 777;  // ends within a block
  const std::string bytes = some_bytes(size);
  put_file(folder / "a", bytes);
  put_file(folder / "b", bytes.substr(1));
  for (const int n_threads : {1, 4}) {
    auto reader = BlockReader::create(n_threads);
    ASSERT_TRUE(reader.ok());
    ASSERT_TRUE((*reader)->add_file(folder / "a", size).ok());
    ASSERT_TRUE((*reader)->add_file(folder / "b", size - 1).ok());
    const int64_t offset = 3 * kReadAlignment;
    const Aligned whole(round_up(size, kReadAlignment)), part(8 * kReadAlignment);
    (*reader)->submit({.file = 0, .offset = 0, .bytes = size, .data = whole.data, .tag = 7});
    (*reader)->submit({.file = 1,
                       .offset = offset,
                       .bytes = 5 * kReadAlignment + 3,
                       .data = part.data,
                       .tag = 9});
    std::vector<BlockReader::Done> done = take_all(**reader);
    ASSERT_EQ(done.size(), 2u);
    EXPECT_EQ(done[0].tag + done[1].tag, 16);
    for (const auto& one : done) EXPECT_EQ(one.error, "");
    EXPECT_EQ(std::memcmp(whole.data, bytes.data(), bytes.size()), 0);
    EXPECT_EQ(std::memcmp(part.data, bytes.data() + 1 + offset, 5 * kReadAlignment + 3), 0);
    EXPECT_EQ((*reader)->counters().bytes, size + 5 * kReadAlignment + 3);
    EXPECT_GT((*reader)->counters().seconds, 0);
  }
}

TEST(BlockReader, AFileThatBecameShorterIsASentence) {
  const TempFolder folder;
  const int64_t size = int64_t{3} << 20;
  put_file(folder / "a", some_bytes(size));
  auto reader = BlockReader::create(2);
  ASSERT_TRUE(reader.ok());
  const Status wrong = (*reader)->add_file(folder / "a", size + 1);
  ASSERT_FALSE(wrong.ok());
  EXPECT_NE(wrong.error().message.find("3145728 bytes now, had 3145729"), std::string::npos);
  EXPECT_FALSE((*reader)->add_file(folder / "none", size).ok());
  ASSERT_TRUE((*reader)->add_file(folder / "a", size).ok());
  std::filesystem::resize_file(folder / "a", 1 << 20);
  const Aligned memory(size);
  (*reader)->submit({.file = 0, .offset = 0, .bytes = size, .data = memory.data});
  const std::vector<BlockReader::Done> done = take_all(**reader);
  ASSERT_EQ(done.size(), 1u);
  EXPECT_NE(done[0].error.find("it ends at byte"), std::string::npos) << done[0].error;
}

TEST(BlockReader, IsDestroyedWithRequestsWaiting) {
  const TempFolder folder;
  const int64_t size = int64_t{8} << 20;
  put_file(folder / "a", some_bytes(size));
  const Aligned memory(size);
  auto reader = BlockReader::create(1);
  ASSERT_TRUE(reader.ok());
  ASSERT_TRUE((*reader)->add_file(folder / "a", size).ok());
  for (int i = 0; i < 20; ++i) {
    (*reader)->submit({.file = 0, .offset = 0, .bytes = size, .data = memory.data});
  }
}

}  // namespace
}  // namespace fathom
