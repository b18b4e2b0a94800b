// Goal: packed files come back as what was packed, whatever the sizes of reads, and damaged ones
// are one sentence. Method: files made by each library; every prefix of a small one; a pipe that
// stays open.
#include "io/packed_reader.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "base/str_cat.h"
#include "io/files.h"
#include "tests/support/packed.h"
#include "tests/support/temp_folder.h"

namespace fathom {
namespace {

using test::pack_gz;
using test::pack_xz;
using test::pack_zst;
using testing_support::put_file;
using testing_support::TempFolder;

std::string some_text(size_t n) {
  std::string text;
  for (size_t i = 0; text.size() < n; ++i) text += str_cat("line ", i * i % 9973, "\n");
  text.resize(n);
  return text;
}

Result<std::string> read_all(const std::string& path, size_t step) {
  FATHOM_TRY(PackedReader reader, PackedReader::open(path));
  std::string out, piece(step, '\0');
  while (true) {
    FATHOM_TRY(const size_t n, reader.read(piece));
    if (n == 0) return out;
    out.append(piece, 0, n);
  }
}

TEST(PackedReader, GivesBackWhatWasPacked) {
  TempFolder folder;
  for (const size_t size : {0u, 1u, 1000u, 300'000u}) {
    const std::string text = some_text(size);
    // Two of them one after the other are one file, as the formats have it.
    for (const std::string& bytes :
         {text + text, pack_xz(text) + pack_xz(text), pack_zst(text) + pack_zst(text),
          pack_gz(text) + pack_gz(text)}) {
      put_file(folder / "packed", bytes);
      for (const size_t step : {1000u, 100'000u, 1u}) {
        if (step == 1 && size > 1000) continue;
        const auto got = read_all(folder / "packed", step);
        ASSERT_TRUE(got.ok()) << got.error().message;
        EXPECT_EQ(*got, text + text);
      }
    }
  }
}

TEST(PackedReader, CutFilesAreErrors) {
  TempFolder folder;
  const std::string text = some_text(500);
  for (const std::string& bytes : {pack_xz(text), pack_zst(text), pack_gz(text)}) {
    for (size_t n = 6; n < bytes.size(); ++n) {
      put_file(folder / "cut", bytes.substr(0, n));
      const auto got = read_all(folder / "cut", 10'000);
      ASSERT_FALSE(got.ok()) << n << " of " << bytes.size();
      EXPECT_NE(got.error().message.find("damaged"), std::string::npos);
    }
  }
}

TEST(PackedReader, DamagedBytesNeverCrash) {
  TempFolder folder;
  const std::string text = some_text(500);
  for (const std::string& bytes : {pack_xz(text), pack_zst(text), pack_gz(text)}) {
    for (size_t i = 6; i < bytes.size(); i += 3) {
      std::string damaged = bytes;
      damaged[i] = static_cast<char>(damaged[i] ^ 0x55);
      put_file(folder / "damaged", damaged);
      const auto got = read_all(folder / "damaged", 10'000);
      if (got.ok()) {
        EXPECT_LE(got->size(), 1'000'000u);
      }
    }
  }
}

TEST(PackedReader, AReadThatWaitsForAPipeCanBeStopped) {
  TempFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  const FileDescriptor writer(::open((folder / "pipe").c_str(), O_RDWR), 0);  // waits for nobody
  std::array<int, 2> stop = {};
  ASSERT_EQ(::pipe(stop.data()), 0);
  const FileDescriptor stop_read(stop[0], 0), stop_write(stop[1], 0);
  PackedReader reader = PackedReader::open(folder / "pipe", stop_read.get()).value();
  EXPECT_FALSE(reader.packed_bytes().has_value());
  ASSERT_EQ(::write(writer.get(), "some text", 9), 9);
  ASSERT_EQ(::write(stop_write.get(), "x", 1), 1);
  std::string piece(100, '\0');
  const auto got = reader.read(piece);
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().code, ErrorCode::kInterrupted);
}

TEST(PackedReader, NamesWhatIsNotThere) {
  TempFolder folder;
  EXPECT_NE(PackedReader::open(folder / "no").error().message.find("cannot open"),
            std::string::npos);
  EXPECT_NE(PackedReader::open(folder.path()).error().message.find("is a folder"),
            std::string::npos);
}

}  // namespace
}  // namespace fathom
