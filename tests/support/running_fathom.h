// The program (FATHOM_BINARY) at work, while the test does something else.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace fathom::test {

class RunningFathom {
 public:
  // file_bytes_max: 0 is no limit. error_file: where standard error goes; empty: nowhere.
  explicit RunningFathom(std::vector<std::string> arguments, int64_t file_bytes_max = 0,
                         const std::string& error_file = "");
  ~RunningFathom();  // kills it
  RunningFathom(const RunningFathom&) = delete;
  RunningFathom& operator=(const RunningFathom&) = delete;

  void send(int signal) const;
  bool ended();
  int wait();  // the exit code as in RunResult

 private:
  pid_t pid_ = -1;
  int code_ = -1;
};

}  // namespace fathom::test
