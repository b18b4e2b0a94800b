// Goal: a folder's journal survives what kills a process, and keeps others out.
// Method: journals written, torn and opened again; a second open stands for a second process (locks
// of one open file do not extend to another).
#include "io/output_folder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/temp_folder.h"

namespace fathom {
namespace {

using testing_support::get_file;
using testing_support::put_file;
using testing_support::TempFolder;

std::string error_of(const std::string& path, uint64_t plan, bool force) {
  const auto folder = OutputFolder::open(path, plan, "a test", force);
  return folder.ok() ? std::string() : folder.error().message;
}

TEST(OutputFolder, ContinuesWhereItStopped) {
  TempFolder temp;
  const std::string path = temp / "a/b";
  {
    auto folder = OutputFolder::open(path, 7, "a test", false);
    ASSERT_TRUE(folder.ok()) << folder.error().message;
    EXPECT_TRUE(folder->finished().empty());
    EXPECT_TRUE(folder->record({"one", 10, 0xfedcba9876543210u}).ok());
    EXPECT_TRUE(folder->record({"two", 20, 2}).ok());
  }
  put_file(path + "/one", "x");
  put_file(path + "/.two.123-0.part", "half");
  std::ofstream(path + "/.fathom-conversion", std::ios::app) << "{\"file\":\"three\",\"by";  // torn
  auto folder = OutputFolder::open(path, 7, "a test", false);
  ASSERT_TRUE(folder.ok()) << folder.error().message;
  ASSERT_EQ(folder->finished().size(), 2u);
  EXPECT_EQ(folder->finished()[0].name, "one");
  EXPECT_EQ(folder->finished()[0].bytes, 10);
  EXPECT_EQ(folder->finished()[0].checksum, 0xfedcba9876543210u);
  EXPECT_FALSE(std::filesystem::exists(path + "/.two.123-0.part"));
  EXPECT_TRUE(folder->record({"three", 30, 3}).ok());
  EXPECT_EQ(get_file(path + "/.fathom-conversion").find("by"),
            get_file(path + "/.fathom-conversion").find("bytes"));
  EXPECT_TRUE(folder->close().ok());
  EXPECT_FALSE(std::filesystem::exists(path + "/.fathom-conversion"));
}

TEST(OutputFolder, RefusesASecondProcess) {
  TempFolder temp;
  const auto first = OutputFolder::open(temp / "out", 7, "a test", false);
  ASSERT_TRUE(first.ok());
  EXPECT_NE(error_of(temp / "out", 7, false).find("another process"), std::string::npos);
  EXPECT_NE(error_of(temp / "out", 7, true).find("another process"), std::string::npos);
}

TEST(OutputFolder, RefusesWhatIsNotItsOwnUnlessForced) {
  TempFolder temp;
  put_file(temp / "file", "x");
  EXPECT_NE(error_of(temp.path(), 7, false).find("not empty"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(temp / ".fathom-conversion"));
  EXPECT_EQ(error_of(temp.path(), 7, true), "");
  EXPECT_EQ(error_of(temp.path(), 7, false), "");  // now it has a journal of this plan
  EXPECT_NE(error_of(temp.path(), 8, false).find("something else (a test)"), std::string::npos);
  EXPECT_EQ(error_of(temp.path(), 8, true), "");
  EXPECT_NE(error_of(temp / "file", 7, true).find("cannot create the folder"), std::string::npos);
}

TEST(OutputFolder, InputAndOutputStandApart) {
  TempFolder temp;
  std::filesystem::create_directory(temp / "in");
  std::filesystem::create_directory_symlink(temp / "in", temp / "link");
  EXPECT_TRUE(check_apart(temp / "in", temp / "out").ok());
  EXPECT_TRUE(check_apart(temp / "in", temp / "in2").ok());
  for (const char* out : {"in", "in/", "in/.", "link", "in/out", "link/deep/out", ""}) {
    EXPECT_FALSE(check_apart(temp / "in", temp / out).ok()) << out;
  }
}

TEST(OutputFolder, AnUnfinishedFolderIsNotRead) {
  TempFolder temp;
  const ModelFiles files = *ModelFiles::open_folder(temp.path());
  EXPECT_TRUE(check_finished(files).ok());
  auto folder = OutputFolder::open(temp.path(), 7, "a test", false);
  ASSERT_TRUE(folder.ok()) << folder.error().message;
  EXPECT_TRUE(folder->is_new());
  const Status unfinished = check_finished(files);
  ASSERT_FALSE(unfinished.ok());
  EXPECT_NE(unfinished.error().message.find("holds an unfinished conversion"), std::string::npos);
  ASSERT_TRUE(folder->close().ok());
  EXPECT_TRUE(check_finished(files).ok());
}

TEST(OutputFolder, AnInputIsNoOutputUnderAnyName) {
  TempFolder temp;
  put_file(temp / "in", "x");
  std::filesystem::create_symlink(temp / "in", temp / "link");
  std::filesystem::create_hard_link(temp / "in", temp / "hard");
  EXPECT_TRUE(check_no_input({temp / "out"}, {temp / "in", temp / "absent"}).ok());
  for (const char* out : {"in", "./in", "link", "hard"}) {
    const Status status = check_no_input({temp / "out", temp / out}, {temp / "in"});
    ASSERT_FALSE(status.ok()) << out;
    EXPECT_NE(status.error().message.find("is the input file"), std::string::npos);
  }
}

TEST(OutputFolder, SaysWhenTheDiskIsTooSmall) {
  TempFolder temp;
  EXPECT_TRUE(check_free_space(temp.path(), 1).ok());
  const Status status = check_free_space(temp.path(), int64_t{1} << 60);
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.error().message.find("bytes free"), std::string::npos);
}

}  // namespace
}  // namespace fathom
