// Goal: nothing that stops a conversion leaves a half file under a final name or loses what was
// done. Method: the program is killed, interrupted, denied the disk and the lock while it writes
// many files.
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/converted.h"

namespace fathom::test {
namespace {

namespace fs = std::filesystem;
using namespace testing_support;  // NOLINT: a test

// A model that takes many files, so that a run can be stopped between them.
struct Large {
  Large() {
    std::string config(kFp8Config);
    config.replace(config.find("\"n_routed_experts\":4"), 20, "\"n_routed_experts\":64");
    config.replace(config.find("\"moe_intermediate_size\":40"), 26,
                   "\"moe_intermediate_size\":256");
    write_model(in, config, Dtype::kBF16);
    convert = {"convert", in.path(), out, "--shard-size", "250KB"};
  }
  // The same as GGUF, in parts.
  void to_gguf() {
    fs::create_directory(out);
    fs::remove(in / "tokenizer.json");
    convert[2] = out + "/m.gguf";
  }
  int64_t n_finished() const {
    std::error_code none;
    int64_t n = 0;
    for (const auto& entry : fs::directory_iterator(out, none)) {
      const std::string kind = entry.path().extension();
      n += kind == ".safetensors" || kind == ".gguf" ? 1 : 0;
    }
    return n;
  }
  TempFolder in;
  TempFolder temp;
  const std::string out = temp / "out";
  std::vector<std::string> convert;
};

std::string get_if_there(const std::string& path) {
  return fs::exists(path) ? get_file(path) : std::string();
}

// Finished ones; a killed run may have left a part with a dot before its name.
std::string first_weights(const std::string& folder) {
  for (const std::string& name : names_in(folder)) {
    if (name.starts_with("model-")) return name;
  }
  return {};
}

pid_t start(std::vector<std::string> arguments, rlim_t file_size = RLIM_INFINITY) {
  arguments.insert(arguments.begin(), FATHOM_BINARY);
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const struct rlimit limit = {file_size, file_size};
  if (file_size != RLIM_INFINITY) ::setrlimit(RLIMIT_FSIZE, &limit);
  const int null = ::open("/dev/null", O_WRONLY);
  ::dup2(null, STDERR_FILENO);
  ::execv(argv[0], argv.data());
  ::_exit(127);
}
int wait_for(pid_t pid) {
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(ConvertStopped, KilledHalfWayGoesOnWhereItStopped) {
  for (const int signal : {SIGKILL, SIGINT}) {
    SCOPED_TRACE(signal);
    Large large;
    const pid_t pid = start(large.convert);
    while (large.n_finished() < 5 && ::waitpid(pid, nullptr, WNOHANG) == 0) ::usleep(200);
    ::kill(pid, signal);
    const int code = wait_for(pid);
    EXPECT_TRUE(code == (signal == SIGKILL ? 128 + SIGKILL : 130)) << code;
    expect_whole_files_only(large.out);
    EXPECT_FALSE(fs::exists(large.out + "/config.json")) << "the folder is not complete";
    const int64_t done = large.n_finished();
    ASSERT_GE(done, 5);
    // Something else is not mixed in.
    std::vector<std::string> other = large.convert;
    other.back() = "500KB";
    EXPECT_NE(fail(other).find("unfinished"), std::string::npos);
    const std::string first = large.out + "/" + first_weights(large.out);
    const auto written = fs::last_write_time(first);
    const std::string err = succeed(large.convert);
    EXPECT_NE(err.find("from the run before"), std::string::npos) << err;
    EXPECT_EQ(fs::last_write_time(first), written) << "made again";
    EXPECT_EQ(load(large.out), load(large.in.path()));
    for (const std::string& name : names_in(large.out)) EXPECT_FALSE(name.starts_with(".")) << name;
  }
}

// Two models of the same names and shapes: nothing but the journal tells a mixture.
TEST(ConvertStopped, AForcedRunThatStoppedIsNoMixtureOfTwoModels) {
  Large large;
  succeed(large.convert);
  TempFolder other;
  write_model(other, get_file(large.in / "config.json"), Dtype::kBF16, 7);
  large.convert[1] = other.path();
  large.convert.push_back("--force");
  const std::string first = large.out + "/" + first_weights(large.out);
  const auto written = fs::last_write_time(first);
  const pid_t pid = start(large.convert);
  std::error_code absent;
  while (fs::last_write_time(first, absent) == written && ::waitpid(pid, nullptr, WNOHANG) == 0)
    ::usleep(200);
  ::kill(pid, SIGINT);
  EXPECT_EQ(wait_for(pid), 130);
  EXPECT_FALSE(fs::exists(large.out + "/config.json"));
  EXPECT_NE(fail({"inspect", large.out}).find("holds an unfinished conversion"), std::string::npos);
  EXPECT_NE(fail({"convert", large.out, large.temp / "copy"}).find("unfinished conversion"),
            std::string::npos);
  large.convert.pop_back();
  succeed(large.convert);
  EXPECT_EQ(load(large.out), load(other.path()));
}

TEST(ConvertStopped, AFinishedFileThatWasDamagedSinceIsMadeAgain) {
  Large large;
  const pid_t pid = start(large.convert);
  while (large.n_finished() < 5 && ::waitpid(pid, nullptr, WNOHANG) == 0) ::usleep(200);
  ::kill(pid, SIGKILL);
  wait_for(pid);
  const std::string first = large.out + "/" + first_weights(large.out);
  fs::resize_file(first, fs::file_size(first) - 1);
  const std::string second = large.out + "/" + names_in(large.out)[2];
  std::string bytes = get_file(second);
  bytes.back() ^= 1;
  put_file(second, bytes);
  large.convert.push_back("--verify");
  succeed(large.convert);
  EXPECT_EQ(load(large.out), load(large.in.path()));
}

TEST(ConvertStopped, TwoProcessesDoNotShareAFolder) {
  Large large;
  fs::create_directory(large.out);
  // Another process holds the lock.
  const int fd = ::open((large.out + "/.fathom-conversion").c_str(), O_RDWR | O_CREAT, 0666);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(::flock(fd, LOCK_EX), 0);
  EXPECT_NE(fail(large.convert).find("another process"), std::string::npos);
  ::close(fd);
  succeed(large.convert);
}

std::map<std::string, std::string> bytes_in(const std::string& folder) {
  std::map<std::string, std::string> bytes;
  for (const std::string& name : names_in(folder)) bytes[name] = get_file(folder + "/" + name);
  return bytes;
}

TEST(ConvertStopped, GgufPartsGoOnWhereTheyStopped) {
  Large whole;
  whole.to_gguf();
  succeed(whole.convert);
  const auto expected = bytes_in(whole.out);
  ASSERT_GE(expected.size(), 6u);
  for (const int signal : {SIGKILL, SIGINT}) {
    SCOPED_TRACE(signal);
    Large large;
    large.to_gguf();
    large.convert[1] = whole.in.path();  // the name inside is the folder's
    put_file(large.out + "/.m.gguf.99-0.part", "of another name");
    const pid_t pid = start(large.convert);
    while (large.n_finished() < 3 && ::waitpid(pid, nullptr, WNOHANG) == 0) ::usleep(200);
    ::kill(pid, signal);
    EXPECT_EQ(wait_for(pid), signal == SIGKILL ? 128 + SIGKILL : 130);
    const auto stopped = bytes_in(large.out);
    for (const auto& [name, bytes] : stopped) {
      if (name.ends_with(".gguf")) {
        EXPECT_EQ(bytes, expected.at(name)) << name;
      }
    }
    const std::string err = succeed(large.convert);
    EXPECT_NE(err.find("from the run before"), std::string::npos) << err;
    auto is = bytes_in(large.out);
    EXPECT_EQ(is.erase(".m.gguf.99-0.part"), 1u);
    EXPECT_EQ(is, expected);
  }
}

TEST(ConvertStopped, GgufPartsAreReplacedAllOrNone) {
  Large large;
  large.to_gguf();
  large.convert.push_back("--verify");
  large.convert.push_back("--quiet");
  // The names are looked at before anything is written.
  succeed(
      {"convert", large.in.path(), large.temp / "parts.gguf", "--shard-size", "250KB", "--quiet"});
  std::string third;
  for (const std::string& name : names_in(large.temp.path())) {
    if (name.starts_with("parts-00003-of-")) third = "m" + name.substr(5);
  }
  ASSERT_FALSE(third.empty());
  put_file(large.out + "/" + third, "something");
  const auto before = bytes_in(large.out);
  EXPECT_NE(fail(large.convert).find(third + " exists already"), std::string::npos);
  EXPECT_EQ(bytes_in(large.out), before);
  // Another process holds the lock.
  fs::remove(large.out + "/" + third);
  const int fd = ::open((large.out + "/.m.gguf.fathom-conversion").c_str(), O_RDWR | O_CREAT, 0666);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(::flock(fd, LOCK_EX), 0);
  EXPECT_NE(fail(large.convert).find("another process"), std::string::npos);
  ::close(fd);
  succeed(large.convert);
  // Stopped while it replaces them, no old part stands beside a new one.
  const auto old = bytes_in(large.out);
  TempFolder other;
  write_model(other, get_file(large.in / "config.json"), Dtype::kBF16, 7);
  fs::remove(other / "tokenizer.json");
  large.convert[1] = other.path();
  large.convert.push_back("--force");
  const std::string first = large.out + "/m-00001" + third.substr(7);
  const pid_t pid = start(large.convert);
  const auto begun = [&] {
    const std::string bytes = get_if_there(first);
    return !bytes.empty() && bytes != old.at(fs::path(first).filename());
  };
  while (!begun() && ::waitpid(pid, nullptr, WNOHANG) == 0) ::usleep(200);
  ::kill(pid, SIGKILL);
  wait_for(pid);
  for (const auto& [name, bytes] : bytes_in(large.out)) {
    if (name.ends_with(third.substr(7))) {
      EXPECT_NE(bytes, old.at(name)) << name;
    }
  }
}

TEST(ConvertStopped, AFullDiskIsOneSentenceAndTheRunGoesOnLater) {
  Large large;
  large.convert.back() = "1MB";
  EXPECT_EQ(wait_for(start(large.convert, 500'000)), 1);  // no file may grow beyond it
  expect_whole_files_only(large.out);
  for (const std::string& name : names_in(large.out)) EXPECT_FALSE(name.ends_with(".part")) << name;
  succeed(large.convert);
  EXPECT_EQ(load(large.out), load(large.in.path()));
}

}  // namespace
}  // namespace fathom::test
