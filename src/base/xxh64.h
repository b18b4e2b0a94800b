// XXH64 (xxhash.com, 64 bits, seed 0): a checksum for finding damage at the speed of memory, not a
// defence against anyone. Of a whole file it is what `xxhsum -H1` prints.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace fathom {

class Xxh64 {
 public:
  Xxh64();
  void update(std::span<const std::byte> bytes);
  void update(std::string_view text) { update(std::as_bytes(std::span(text))); }
  // Of everything so far; may be asked for again after more.
  uint64_t digest() const;

 private:
  void stripe(const std::byte* bytes);

  std::array<uint64_t, 4> lanes_;
  std::array<std::byte, 32> tail_ = {};  // what does not fill a stripe yet
  size_t tail_bytes_ = 0;
  uint64_t total_bytes_ = 0;
};

// A digest as files and tools write it: 16 digits, small letters.
std::string xxh64_hex(uint64_t digest);

}  // namespace fathom
