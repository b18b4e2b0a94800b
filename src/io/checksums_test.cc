// Goal: a flipped bit is found wherever a checksum is known. Method: the standard's own vectors; a
// file changed by one bit, its checksum in SHA256SUMS or in the name that a link leads to.
#include "io/checksums.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "io/sha256.h"
#include "tests/support/temp_folder.h"

namespace fathom {
namespace {

using testing_support::put_file;
using testing_support::TempFolder;

std::string sha256_of(const std::string& text) {
  return sha256_hex(std::as_bytes(std::span(text)));
}

TEST(Sha256, MatchesTheStandardsVectors) {
  EXPECT_EQ(sha256_of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256_of(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, PiecesMakeNoDifference) {
  for (size_t size : {55u, 56u, 63u, 64u, 65u, 119u, 120u, 128u, 1000u}) {
    const std::string text(size, 'x');
    for (size_t piece : {1u, 7u, 64u, 100u}) {
      Sha256 hash;
      for (size_t i = 0; i < size; i += piece) {
        hash.update(std::as_bytes(std::span(text).subspan(i, std::min(piece, size - i))));
      }
      EXPECT_EQ(hash.finish(), sha256_of(text)) << size << " in " << piece;
    }
  }
}

// The message for one file of the folder: "" if its checksum is right, "unknown" if there is none.
std::string verify(const TempFolder& folder, const std::string& name) {
  const auto files = ModelFiles::open_folder(folder.path());
  const auto known = known_checksums(*files, {name});
  if (!known.ok()) return known.error().message;
  if (known->empty()) return "unknown";
  const Status status = verify_checksum(*files, known->front());
  return status.ok() ? std::string() : status.error().message;
}

TEST(Checksums, OneFlippedBitIsFound) {
  TempFolder folder;
  std::string content(5000, 'w');
  put_file(folder / "a.safetensors", content);
  EXPECT_EQ(verify(folder, "a.safetensors"), "unknown");
  put_file(folder / kChecksumsName,
           sha256_of("other") + "  b\n" + sha256_of(content) + " *./a.safetensors\r\n\n");
  EXPECT_EQ(verify(folder, "a.safetensors"), "");
  content[4321] ^= 1;
  put_file(folder / "a.safetensors", content);
  const std::string error = verify(folder, "a.safetensors");
  EXPECT_NE(error.find("a.safetensors is damaged"), std::string::npos) << error;

  // As a hub's cache has it.
  put_file(folder / sha256_of("good"), "good");
  std::filesystem::create_symlink(sha256_of("good"), folder / "c.safetensors");
  EXPECT_EQ(verify(folder, "c.safetensors"), "");
  put_file(folder / sha256_of("good"), "goof");
  EXPECT_NE(verify(folder, "c.safetensors").find("is damaged"), std::string::npos);
}

TEST(Checksums, ABrokenListNamesTheLine) {
  TempFolder folder;
  put_file(folder / "a", "");
  put_file(folder / kChecksumsName, sha256_of("") + "  b\nnonsense\n");
  EXPECT_NE(verify(folder, "a").find("SHA256SUMS, line 2: \"nonsense\""), std::string::npos);
}

}  // namespace
}  // namespace fathom
