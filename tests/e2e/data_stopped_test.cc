// Goal: whatever stops `fathom data` or `fathom tokenizer train`, what stood there before still
// does and nothing half-made stays. Method: bad input, signals while a pipe is waited for, kills, a
// full disk, a second process.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <set>

#include "tests/support/running_fathom.h"
#include "tests/support/subprocess.h"
#include "tests/support/temp_folder.h"
#include "train/shards.h"

namespace fathom::test {
namespace {

namespace fs = std::filesystem;
using testing_support::get_file;
using testing_support::put_file;
using testing_support::TempFolder;
using Words = std::vector<std::string>;

const std::string kDefault = std::string(FATHOM_TESTDATA) + "/../models/default";

std::set<std::string> names_in(const std::string& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder))
    names.insert(entry.path().filename().string());
  return names;
}

class DataStopped : public ::testing::Test {
 protected:
  DataStopped() {
    put_file(good_, "{\"text\": \"The fox went home.\"}\n{\"text\": \"A hen.\"}\n");
    put_file(bad_, "{\"text\": \"The fox went home.\"}\n{\"txt\": \"no\"}\n");
  }
  Words data(const std::string& file, const Words& more = {}) const {
    Words out = {"data", file, "--tokenizer", kDefault, "--output", shards_};
    out.insert(out.end(), more.begin(), more.end());
    return out;
  }
  void expect_good() const { EXPECT_TRUE(Shards::open(shards_, Split::kTrain).ok()); }

  TempFolder folder_;
  const std::string good_ = folder_ / "good.jsonl", bad_ = folder_ / "bad.jsonl",
                    shards_ = folder_ / "a/shards";
};

TEST_F(DataStopped, OldShardsStandUntilNewOnesAreThere) {
  ASSERT_EQ(
      run_fathom(data(good_, {"--loss-on-answers", "--validation-fraction", "0.5"})).exit_code, 0);
  put_file(shards_ + "/notes.txt", "mine");
  const std::set<std::string> before = names_in(shards_);
  ASSERT_TRUE(before.contains("train-0.tokens.mask"));
  const std::string index = get_file(shards_ + "/index.json");
  EXPECT_EQ(run_fathom(data(bad_, {"--force"})).exit_code, 1);
  EXPECT_EQ(names_in(shards_), before);
  EXPECT_EQ(get_file(shards_ + "/index.json"), index);
  expect_good();
  // No room for the shards, whose files may not grow beyond four bytes.
  RunningFathom full(data(good_, {"--force"}), 4);
  EXPECT_EQ(full.wait(), 1);
  EXPECT_EQ(names_in(shards_), before);
  expect_good();
  // Then nothing stays that the new index does not name.
  EXPECT_EQ(run_fathom(data(good_, {"--force"})).exit_code, 0);
  EXPECT_EQ(names_in(shards_),
            (std::set<std::string>{"index.json", "notes.txt", "train-0.tokens"}));
  EXPECT_EQ(get_file(shards_ + "/notes.txt"), "mine");
  expect_good();
}

TEST_F(DataStopped, AFailedRunLeavesNoFolder) {
  EXPECT_EQ(run_fathom(data(bad_)).exit_code, 1);
  EXPECT_FALSE(fs::exists(folder_ / "a"));
  fs::create_directory(folder_ / "a");
  EXPECT_EQ(run_fathom(data(bad_)).exit_code, 1);
  EXPECT_TRUE(fs::is_empty(folder_ / "a")) << "a folder that was there stays";
}

TEST_F(DataStopped, AFolderWithoutAnIndexHoldsNothing) {
  fs::create_directories(shards_);
  for (const char* name : {"train-0.tokens", "train-7.tokens.mask", ".train-1.tokens.77-0.part",
                           ".index.json.77-1.part", ".other.77-1.part", "train-x.tokens"})
    put_file(shards_ + "/" + name, "left");
  const RunResult made = run_fathom(data(good_));
  EXPECT_EQ(made.exit_code, 0) << made.err;
  EXPECT_EQ(names_in(shards_), (std::set<std::string>{"index.json", "train-0.tokens",
                                                      ".other.77-1.part", "train-x.tokens"}));
  expect_good();
}

// A pipe with one line in it, of which no more comes.
struct OpenPipe {
  explicit OpenPipe(const std::string& path) {
    EXPECT_EQ(::mkfifo(path.c_str(), 0600), 0);
    fd = ::open(path.c_str(), O_RDWR);
  }
  ~OpenPipe() { ::close(fd); }
  void put_line() const { EXPECT_EQ(::write(fd, "{\"text\": \"a\"}\n", 14), 14); }
  // Until the program has read the line, and so waits for the next.
  void wait_until_read() const {
    int n = 1;
    for (int ms = 0; ms < 30'000 && ::ioctl(fd, FIONREAD, &n) == 0 && n > 0; ++ms) ::usleep(1000);
    EXPECT_EQ(n, 0) << "not read";
  }
  int fd = -1;
};

TEST_F(DataStopped, TheFirstSignalEndsAReadThatWaits) {
  const OpenPipe pipe(folder_ / "pipe.jsonl");
  const Words tokenizer = {"tokenizer", "train", folder_ / "pipe.jsonl", "--vocab-size", "400",
                           "--output",  shards_};
  for (const int signal : {SIGINT, SIGTERM}) {
    for (const Words& arguments : {data(folder_ / "pipe.jsonl"), tokenizer}) {
      RunningFathom program(arguments);
      pipe.put_line();
      pipe.wait_until_read();
      ASSERT_FALSE(program.ended());
      program.send(signal);
      for (int i = 0; i < 5000 && !program.ended(); ++i) ::usleep(1000);
      ASSERT_TRUE(program.ended()) << "it waits on";
      EXPECT_EQ(program.wait(), 130);
      EXPECT_FALSE(fs::exists(folder_ / "a"));
    }
  }
}

TEST_F(DataStopped, TwoProcessesDoNotShareAFolder) {
  const OpenPipe pipe(folder_ / "pipe.jsonl");
  RunningFathom first(data(folder_ / "pipe.jsonl"));
  pipe.put_line();
  pipe.wait_until_read();
  const RunResult second = run_fathom(data(good_));
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_NE(second.err.find("another process writes shards"), std::string::npos) << second.err;
  // Killed it leaves what the next run takes over.
  first.send(SIGKILL);
  EXPECT_EQ(first.wait(), 128 + SIGKILL);
  EXPECT_EQ(run_fathom(data(good_)).exit_code, 0);
  expect_good();
}

}  // namespace
}  // namespace fathom::test
