// Goal: a conversion that cannot fit into --max-memory is refused before anything is written.
#include "cli/convert_common.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/temp_folder.h"

namespace fathom::cli {
namespace {

TEST(ConvertCommon, TooLittleMemoryIsAnErrorBeforeAnythingIsWritten) {
  testing_support::TempFolder temp;
  ConversionCommand command;
  command.out = temp / "out";
  command.common.max_memory = int64_t{4} << 20;
  ConversionPlan plan;
  plan.scratch_bytes_min = (int64_t{1} << 20) + 1;
  const Status status = carry_out(command, plan, *ModelFiles::open_folder(temp.path()), "Test");
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::kExhausted);
  EXPECT_NE(status.error().message.find("4194308"), std::string::npos) << status.error().message;
  EXPECT_FALSE(std::filesystem::exists(temp / "out"));
}

}  // namespace
}  // namespace fathom::cli
