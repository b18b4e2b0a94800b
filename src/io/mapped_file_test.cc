// Goal: a mapping shows the file, and a file that shrinks under it ends the program with a
// sentence. Method: the shrinking happens in a child process, whose standard error and exit code
// are examined.
#include "io/mapped_file.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <utility>

#include "tests/support/temp_folder.h"

namespace fathom {
namespace {

using testing_support::get_file;
using testing_support::put_file;
using testing_support::TempFolder;

TEST(MappedFile, ShowsTheBytes) {
  TempFolder folder;
  put_file(folder / "a", "hello");
  auto mapped = MappedFile::open(folder / "a");
  ASSERT_TRUE(mapped.ok()) << mapped.error().message;
  EXPECT_EQ(mapped->text(), "hello");
  MappedFile other = std::move(*mapped);
  EXPECT_EQ(other.text(), "hello");
  EXPECT_TRUE(mapped->bytes().empty());
  put_file(folder / "empty", "");
  auto empty = MappedFile::open(folder / "empty");
  ASSERT_TRUE(empty.ok()) << empty.error().message;
  other = std::move(*empty);
  EXPECT_TRUE(other.bytes().empty());
  EXPECT_NE(MappedFile::open(folder.path()).error().message.find("is a directory"),
            std::string::npos);
  EXPECT_NE(MappedFile::open(folder / "none").error().message.find("No such file"),
            std::string::npos);
}

// What the child says on standard error and how it ends, when it runs body.
std::pair<std::string, int> run_child(const TempFolder& folder,
                                      void (*body)(const std::string& path)) {
  const std::string log = folder / "stderr";
  const std::string path = folder / "weights.safetensors";
  put_file(path, std::string(1 << 16, 'x'));
  const pid_t child = ::fork();
  if (child == 0) {
    // The sanitizers' own handler is replaced too.
    if (std::freopen(log.c_str(), "w", stderr) == nullptr) ::_exit(9);
    install_sigbus_message();
    body(path);
    ::_exit(7);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return {get_file(log), status};
}

TEST(MappedFile, ShrinkingWhileMappedIsASentence) {
  TempFolder folder;
  const auto [message, status] = run_child(folder, [](const std::string& path) {
    const auto mapped = MappedFile::open(path);
    if (::truncate(path.c_str(), 100) != 0) ::_exit(8);
    volatile std::byte byte = mapped->bytes()[1 << 15];
    (void)byte;
  });
  ASSERT_TRUE(WIFEXITED(status)) << status;
  EXPECT_EQ(WEXITSTATUS(status), 1);
  EXPECT_NE(message.find("weights.safetensors could not be read any more"), std::string::npos)
      << message;
}

TEST(MappedFile, OtherFaultsKeepTheirSignal) {
  TempFolder folder;
  const auto [message, status] = run_child(folder, [](const std::string& path) {
    { const auto mapped = MappedFile::open(path); }  // no longer ours
    std::signal(SIGALRM, SIG_DFL);
    ::alarm(10);
    ::raise(SIGBUS);
    ::raise(SIGBUS);
  });
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS) << status;
  EXPECT_EQ(message, "");
}

}  // namespace
}  // namespace fathom
