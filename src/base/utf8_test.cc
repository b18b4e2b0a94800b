// Goal: what is UTF-8 and what is shown in place of what is not.
#include "base/utf8.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

std::string lossy(std::string_view text) {
  std::string out;
  append_utf8_lossy(out, text);
  return out;
}

TEST(Utf8, EveryCodePointThereAndBack) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xd800 && c < 0xe000) continue;
    std::string text;
    append_utf8(text, c);
    const Utf8Char read = utf8_at(text, 0);
    ASSERT_TRUE(read.valid && read.code_point == c && read.length == text.size()) << uint32_t{c};
    for (size_t cut = 1; cut < text.size(); ++cut) {
      ASSERT_EQ(utf8_incomplete_tail("x" + text.substr(0, cut)), cut) << uint32_t{c};
    }
    ASSERT_EQ(utf8_incomplete_tail(text), 0u);
  }
}

TEST(Utf8, IllFormedIsShownByItsMaximalParts) {
  EXPECT_EQ(lossy("a\x80z"), "a\ufffdz");
  EXPECT_EQ(lossy("\xe4\xb8z"), "\ufffdz");                // one part of two bytes
  EXPECT_EQ(lossy("\xc0\x80"), "\ufffd\ufffd");            // overlong
  EXPECT_EQ(lossy("\xed\xa0\x80"), "\ufffd\ufffd\ufffd");  // surrogate
  EXPECT_EQ(lossy("\xf4\x90\x80\x80"), "\ufffd\ufffd\ufffd\ufffd");
  EXPECT_EQ(lossy("\xf0\x9f\x98"), "\ufffd");
  EXPECT_EQ(utf8_first_error("ab\xff"), 2u);
  EXPECT_TRUE(is_valid_utf8(""));
}

}  // namespace
}  // namespace fathom
