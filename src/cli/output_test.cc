// Goal: an output file appears whole or not at all, and replaces nothing unasked.
#include "cli/output.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace fathom::cli {
namespace {

TEST(Output, AFileGetsItsNameAtTheEndAndOnlyOverwritesWhenForced) {
  const std::string folder = ::testing::TempDir() + "fathom_output_test";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  const std::string path = folder + "/out.jsonl";
  {
    auto output = Output::create(path, false);
    ASSERT_TRUE(output.ok());
    ASSERT_TRUE((*output)->write_now("half").ok());
    EXPECT_FALSE(std::filesystem::exists(path));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder));  // the unfinished file is gone
  const std::string text(200'000, 'x');
  {
    auto output = Output::create(path, false);
    ASSERT_TRUE(output.ok());
    ASSERT_TRUE((*output)->write(text).ok());
    ASSERT_TRUE((*output)->write("y").ok());
    ASSERT_TRUE((*output)->finish().ok());
  }
  EXPECT_EQ(read_file(path).value(), text + "y");
  const auto again = Output::create(path, false);
  ASSERT_FALSE(again.ok());
  EXPECT_NE(again.error().message.find(path), std::string::npos);
  auto forced = Output::create(path, true);
  ASSERT_TRUE(forced.ok());
  ASSERT_TRUE((*forced)->write("new").ok());
  ASSERT_TRUE((*forced)->finish().ok());
  EXPECT_EQ(read_file(path).value(), "new");
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace fathom::cli
