// Goal: packed files come back as what was packed, whatever the sizes of reads, and damaged ones
// are one sentence. Method: files made by each library; every prefix of a small one.
#include "io/packed_reader.h"

#include <gtest/gtest.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include "tests/support/temp_folder.h"

namespace fathom {
namespace {

using testing_support::put_file;
using testing_support::TempFolder;

std::string some_text(size_t n) {
  std::string text;
  for (size_t i = 0; text.size() < n; ++i) text += str_cat("line ", i * i % 9973, "\n");
  text.resize(n);
  return text;
}

std::string xz(const std::string& text) {
  std::string out(lzma_stream_buffer_bound(text.size()), '\0');
  size_t size = 0;
  EXPECT_EQ(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC64, nullptr,
                                    reinterpret_cast<const uint8_t*>(text.data()), text.size(),
                                    reinterpret_cast<uint8_t*>(out.data()), &size, out.size()),
            LZMA_OK);
  out.resize(size);
  return out;
}

std::string zst(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

std::string gz(const std::string& text) {
  z_stream stream = {};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
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
         {text + text, xz(text) + xz(text), zst(text) + zst(text), gz(text) + gz(text)}) {
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
  for (const std::string& bytes : {xz(text), zst(text), gz(text)}) {
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
  for (const std::string& bytes : {xz(text), zst(text), gz(text)}) {
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

TEST(PackedReader, NamesWhatIsNotThere) {
  TempFolder folder;
  EXPECT_NE(PackedReader::open(folder / "no").error().message.find("cannot open"),
            std::string::npos);
  EXPECT_NE(PackedReader::open(folder.path()).error().message.find("is a folder"),
            std::string::npos);
}

}  // namespace
}  // namespace fathom
