// Goal: the instruction set is what the machine has or what was asked for, and a wrong name is an
// answer.
#include "kernels/dispatch.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace fathom {
namespace {

TEST(Dispatch, RefIsAlwaysThereAndFirst) {
  ASSERT_FALSE(available_isas().empty());
  EXPECT_EQ(available_isas().front(), Isa::kRef);
  for (Isa isa : available_isas()) EXPECT_EQ(select_isa(isa_name(isa)).value(), isa);
}

TEST(Dispatch, AutoIsTheFastestOrWhatTheEnvironmentNames) {
  unsetenv("FATHOM_ISA");
  EXPECT_EQ(select_isa("auto").value(), available_isas().back());
  setenv("FATHOM_ISA", "ref", 1);
  EXPECT_EQ(select_isa("auto").value(), Isa::kRef);
  setenv("FATHOM_ISA", "mmx", 1);
  const auto wrong = select_isa("auto");
  unsetenv("FATHOM_ISA");
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().code, ErrorCode::kUsage);
  EXPECT_NE(wrong.error().message.find("FATHOM_ISA"), std::string::npos) << wrong.error().message;
  EXPECT_NE(wrong.error().message.find("ref"), std::string::npos) << wrong.error().message;
}

// No machine has both.
TEST(Dispatch, ASetOfAnotherProcessorIsAnAnswer) {
#if defined(__aarch64__)
  constexpr std::string_view kOwn = "neon", kOther = "avx2";
#else
  constexpr std::string_view kOwn = "ref", kOther = "neon";
#endif
  EXPECT_TRUE(select_isa(kOwn).ok());
  const auto other = select_isa(kOther);
  ASSERT_FALSE(other.ok());
  EXPECT_NE(other.error().message.find("this machine does not have it"), std::string::npos)
      << other.error().message;
}

TEST(Dispatch, UnknownNameIsAnError) { EXPECT_FALSE(select_isa("sse9").ok()); }

}  // namespace
}  // namespace fathom
