// Character classes of Unicode 16, as the pre-tokenizer's patterns ask for them: the version the
// reference implementation has (tools/make_unicode_ranges.py). Not general: only what V3's three
// patterns distinguish.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace fathom {

enum class CharClass : uint8_t {
  kOther,        // \p{C}, unassigned included
  kLetter,       // \p{L}
  kMark,         // \p{M}
  kNumber,       // \p{N}
  kPunctuation,  // \p{P} or \p{S}
  kSpace,        // \s, which is White_Space: \p{Z}, U+0009..000D, U+0085
};

extern const uint32_t kUnicodeRanges[];
extern const size_t kUnicodeRangesCount;

// Two stages: code point / 256 chooses a block, equal blocks are stored once. Made at the first
// use.
class UnicodeTable {
 public:
  static const UnicodeTable& instance();
  // code_point < 0x110000.
  CharClass operator[](char32_t code_point) const {
    return blocks_[block_of_[code_point >> 8]][code_point & 0xff];
  }

 private:
  static constexpr size_t kBlocksMax = 512;
  UnicodeTable();
  std::array<uint16_t, 0x1100> block_of_{};
  std::array<std::array<CharClass, 256>, kBlocksMax> blocks_{};
};

}  // namespace fathom
