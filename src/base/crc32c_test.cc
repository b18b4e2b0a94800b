// Goal: the checksum is CRC-32C. Method: the check value of the polynomial and vectors of RFC 3720,
// B.4.
#include "base/crc32c.h"

#include <gtest/gtest.h>

#include <string>

namespace fathom {
namespace {

TEST(Crc32c, KnownValues) {
  EXPECT_EQ(crc32c(""), 0u);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
}

}  // namespace
}  // namespace fathom
