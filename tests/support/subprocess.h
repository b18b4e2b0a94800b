// Runs programs as a person or a script would: with arguments, input, environment and a limit on
// time.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fathom::test {

struct RunOptions {
  std::string input = {};  // standard input, then its end
  std::vector<std::pair<std::string, std::string>> environment = {};  // added to this process's own
  std::string directory = {};                                         // empty: the current one
  int timeout_seconds = 60;
};

struct RunResult {
  int exit_code = -1;  // 128 + n if killed by signal n, as shells have it
  bool timed_out = false;
  std::string out;
  std::string err;
};

// arguments[0] is the program.
RunResult run(const std::vector<std::string>& arguments, const RunOptions& options = {});

// The program that is being tested (FATHOM_BINARY).
RunResult run_fathom(std::vector<std::string> arguments, const RunOptions& options = {});

// A program on a pseudo-terminal, which it takes for a person: prompts, line editing, colour,
// Ctrl-C.
class Terminal {
 public:
  explicit Terminal(const std::vector<std::string>& arguments, const RunOptions& options = {});
  ~Terminal();  // kills what still runs
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  void type(std::string_view text);  // "\x03" is Ctrl-C, "\x04" Ctrl-D
  // Reads until the output since the last expect() holds text; false if it did not in time or the
  // program ended.
  bool expect(std::string_view text, int timeout_seconds = 30);
  // Everything the program has written so far.
  const std::string& output() const { return output_; }
  // Waits for the end; the exit code as in RunResult, -1 if it did not come in time.
  int wait(int timeout_seconds = 30);

 private:
  bool read_some(int timeout_ms);  // false at the end of the output

  int fd_ = -1;
  pid_t pid_ = -1;
  std::string output_;
  size_t seen_ = 0;
};

}  // namespace fathom::test
