// Goal: numbers read as people write them.
#include "cli/inspect_report.h"

#include <gtest/gtest.h>

namespace fathom::cli {
namespace {

TEST(InspectReport, Numbers) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1000), "1,000");
  EXPECT_EQ(grouped(671'026'419'200), "671,026,419,200");
  EXPECT_EQ(grouped(-1000), "-1,000");
  EXPECT_EQ(grouped(-100), "-100");
  EXPECT_EQ(human_bytes(0), "0 bytes");
  EXPECT_EQ(human_bytes(999), "999 bytes");
  EXPECT_EQ(human_bytes(1000), "1.0 KB");
  EXPECT_EQ(human_bytes(999'949), "999.9 KB");
  EXPECT_EQ(human_bytes(999'950), "1.0 MB");
  EXPECT_EQ(human_bytes(688'574'839'360), "688.6 GB");
  EXPECT_EQ(human_bytes(INT64_MAX), "9.2 EB");
}

TEST(InspectReport, ThisMachineHasMemory) { EXPECT_GT(machine_memory_bytes(), int64_t{1} << 20); }

}  // namespace
}  // namespace fathom::cli
