// Goal: what can't be read or written is said in a sentence, and a name never stands for half a
// file.
#include "io/files.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "io/printable.h"
#include "tests/support/temp_folder.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using testing_support::get_file;
using testing_support::put_file;
using testing_support::TempFolder;

#define EXPECT_HAS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

size_t n_entries(const TempFolder& folder) {
  return static_cast<size_t>(
      std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()));
}

TEST(ReadFile, ReadsRegularFilesOnly) {
  TempFolder folder;
  put_file(folder / "a", std::string("x\0y", 3));
  EXPECT_EQ(*read_file(folder / "a"), std::string("x\0y", 3));
  fs::create_symlink("a", folder / "link");
  EXPECT_EQ(read_file(folder / "link")->size(), 3u);
  EXPECT_HAS(read_file(folder / "a", 2).error().message, "has 3 bytes, at most 2");
  EXPECT_HAS(read_file(folder / "none").error().message, "No such file");
  EXPECT_HAS(read_file(folder.path()).error().message, "is a directory, expected a regular file");
  EXPECT_HAS(read_file("/dev/zero").error().message, "is a device");
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_HAS(read_file(folder / "pipe").error().message, "is a pipe");
  fs::create_symlink("loop", folder / "loop");
  EXPECT_HAS(read_file(folder / "loop").error().message, "symbolic links");
  EXPECT_FALSE(read_file(std::string("a\0b", 3)).ok());
  if (::geteuid() != 0) {
    ::chmod((folder / "a").c_str(), 0);
    EXPECT_HAS(read_file(folder / "a").error().message, "Permission denied");
  }
}

TEST(AtomicFile, AppearsWhenComplete) {
  TempFolder folder;
  {
    auto file = AtomicFile::create(folder / "out", false);
    ASSERT_TRUE(file.ok()) << file.error().message;
    ASSERT_TRUE(file->append(std::string_view("hello")).ok());
    ASSERT_TRUE(file->write_at(8, std::as_bytes(std::span("!", 1))).ok());
    EXPECT_FALSE(path_exists(folder / "out"));
    ASSERT_TRUE(file->commit().ok());
  }
  EXPECT_EQ(get_file(folder / "out"), std::string("hello\0\0\0!", 9));
  EXPECT_EQ(n_entries(folder), 1u);
}

TEST(AtomicFile, GivenUpItLeavesNothing) {
  TempFolder folder;
  {
    auto file = AtomicFile::create(folder / "out", false);
    ASSERT_TRUE(file->append(std::string_view("half")).ok());
    EXPECT_EQ(n_entries(folder), 1u);
  }
  EXPECT_EQ(n_entries(folder), 0u);
}

TEST(AtomicFile, SealedItStillWaitsForItsName) {
  TempFolder folder;
  for (const bool committed : {false, true}) {
    auto file = AtomicFile::create(folder / "out", false);
    ASSERT_TRUE(file->append(std::string_view("whole")).ok());
    ASSERT_TRUE(file->seal().ok());
    AtomicFile moved = std::move(*file);
    EXPECT_FALSE(path_exists(folder / "out"));
    EXPECT_TRUE(!committed || moved.commit().ok());
  }
  EXPECT_EQ(get_file(folder / "out"), "whole");
  EXPECT_EQ(n_entries(folder), 1u);
}

TEST(AtomicFile, EndedByASignalItLeavesNothing) {
  TempFolder folder;
  auto done = AtomicFile::create(folder / "done", false);
  ASSERT_TRUE(done->commit().ok());
  auto file = AtomicFile::create(folder / "out", false);
  auto moved = std::move(*file);
  ASSERT_TRUE(moved.append(std::string_view("half")).ok());
  EXPECT_EQ(n_entries(folder), 2u);
  remove_unfinished_files();
  EXPECT_EQ(n_entries(folder), 1u);
  EXPECT_TRUE(path_exists(folder / "done"));
}

TEST(AtomicFile, ReplacesOnlyWhenAsked) {
  TempFolder folder;
  put_file(folder / "out", "old");
  EXPECT_HAS(write_file(folder / "out", "new", false).error().message,
             "exists already; --force replaces it");
  EXPECT_EQ(get_file(folder / "out"), "old");
  ASSERT_TRUE(write_file(folder / "out", "new", true).ok());
  EXPECT_EQ(get_file(folder / "out"), "new");
  // One that came while we wrote is not replaced either.
  auto file = AtomicFile::create(folder / "late", false);
  put_file(folder / "late", "theirs");
  EXPECT_HAS(file->commit().error().message, "exists already");
  EXPECT_EQ(get_file(folder / "late"), "theirs");
}

TEST(AtomicFile, KeepsLinksAndRefusesWhatIsNoFile) {
  TempFolder folder;
  put_file(folder / "target", "old");
  fs::create_symlink("target", folder / "link");
  ASSERT_TRUE(write_file(folder / "link", "new", true).ok());
  EXPECT_TRUE(fs::is_symlink(folder / "link"));
  EXPECT_EQ(get_file(folder / "target"), "new");
  EXPECT_HAS(write_file(folder.path(), "x", true).error().message, "it is a directory");
  EXPECT_HAS(write_file("/dev/null", "x", true).error().message, "it is a device");
  EXPECT_HAS(write_file(folder / "no/such/folder", "x", true).error().message, "cannot write");
}

TEST(AtomicFile, TwoWritersOfOneNameDoNotMeet) {
  TempFolder folder;
  auto first = AtomicFile::create(folder / "out", true);
  auto second = AtomicFile::create(folder / "out", true);
  ASSERT_TRUE(first.ok() && second.ok());
  ASSERT_TRUE(first->append(std::string_view("first")).ok());
  ASSERT_TRUE(second->append(std::string_view("2")).ok());
  ASSERT_TRUE(first->commit().ok());
  ASSERT_TRUE(second->commit().ok());
  EXPECT_EQ(get_file(folder / "out"), "2");
  EXPECT_EQ(n_entries(folder), 1u);
}

TEST(AtomicFile, FullDiskIsSaid) {
  // A limit on the size of files acts as a full disk does: the write fails half-way.
  TempFolder folder;
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const struct rlimit limit = {1000, 1000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const Status status = write_file(folder / "out", std::string(5000, 'x'), false);
    ::_exit(!status.ok() && status.error().message.find("cannot write") == 0 ? 0 : 1);
  }
  int result = 0;
  ASSERT_EQ(::waitpid(child, &result, 0), child);
  EXPECT_EQ(result, 0);
  EXPECT_EQ(n_entries(folder), 0u);
}

TEST(Folders, AreMadeAndJoined) {
  TempFolder folder;
  ASSERT_TRUE(make_directories(folder / "a/b/c").ok());
  ASSERT_TRUE(make_directories(folder / "a/b/c").ok());
  EXPECT_TRUE(is_directory(folder / "a/b"));
  put_file(folder / "file", "");
  EXPECT_HAS(make_directories(folder / "file").error().message, "cannot create the folder");
  EXPECT_FALSE(make_directories(folder / "file/below").ok());
  EXPECT_EQ(join_path("a", "b"), "a/b");
  EXPECT_EQ(join_path("a/", "b"), "a/b");
  EXPECT_EQ(*absolute_path(folder / "a/../a/b"), *absolute_path(folder / "a") + "/b");
  EXPECT_HAS(absolute_path(folder / "none").error().message, "cannot find");
}

TEST(Printable, IsOneBoundedLine) {
  EXPECT_EQ(printable("a\nb\x1b[31m\xff"), "a\\nb\\u001b[31m\xef\xbf\xbd");
  EXPECT_EQ(printable(std::string(1000, 'x'), 5), "xxxxx...");
  EXPECT_EQ(printable("\"a\\b\" \u00e9"), "\"a\\b\" \u00e9");
  EXPECT_EQ(printable("\x7f \u009b \u202e"), "\\u007f \\u009b \\u202e");
  EXPECT_EQ(printable(printable("\"\n\"")), "\"\\n\"");
  EXPECT_EQ(printable("a\u00e9", 2), "a...");
}

}  // namespace
}  // namespace fathom
