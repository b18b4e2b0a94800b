// Goal: escapes of addresses are the bytes they stand for, and what is none is said to be none.
#include "server/percent.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

TEST(Percent, EscapesBecomeBytes) {
  EXPECT_EQ(percent_decoded("plain"), "plain");
  EXPECT_EQ(percent_decoded(""), "");
  EXPECT_EQ(percent_decoded("a%2Fb%2fc"), "a/b/c");
  EXPECT_EQ(percent_decoded("%e4%B8%96+%25"), "\xe4\xb8\x96+%");
  EXPECT_EQ(percent_decoded("%252F"), "%2F");  // once
  EXPECT_EQ(percent_decoded("%00"), std::string(1, '\0'));
}

TEST(Percent, HalfEscapesAreNone) {
  for (const char* text : {"%", "a%2", "%zz", "%2", "%-1", "% 1", "%%41", "%0x"})
    EXPECT_FALSE(percent_decoded(text).has_value()) << text;
}

}  // namespace
}  // namespace fathom
