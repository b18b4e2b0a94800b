#include "tokenizer/unicode_class.h"

#include "base/check.h"

namespace fathom {

UnicodeTable::UnicodeTable() {
  size_t n_blocks = 0;
  size_t range = 0;
  for (size_t block = 0; block < block_of_.size(); ++block) {
    std::array<CharClass, 256> classes{};
    for (size_t i = 0; i < 256; ++i) {
      const size_t code_point = block << 8 | i;
      while (range + 1 < kUnicodeRangesCount && (kUnicodeRanges[range + 1] >> 3) <= code_point)
        ++range;
      classes[i] = static_cast<CharClass>(kUnicodeRanges[range] & 7);
    }
    size_t found = 0;
    while (found < n_blocks && blocks_[found] != classes) ++found;
    if (found == n_blocks) {
      FATHOM_CHECK(n_blocks < kBlocksMax, "more different blocks than ", kBlocksMax);
      blocks_[n_blocks++] = classes;
    }
    block_of_[block] = static_cast<uint16_t>(found);
  }
}

const UnicodeTable& UnicodeTable::instance() {
  static const UnicodeTable table;
  return table;
}

}  // namespace fathom
