#include "tests/support/running_fathom.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"

namespace fathom::test {

RunningFathom::RunningFathom(std::vector<std::string> arguments, int64_t file_bytes_max,
                             const std::string& error_file) {
  arguments.insert(arguments.begin(), FATHOM_BINARY);
  pid_ = ::fork();
  FATHOM_CHECK(pid_ >= 0, "cannot fork");
  if (pid_ > 0) return;
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  if (file_bytes_max > 0) {
    const auto bytes = static_cast<rlim_t>(file_bytes_max);
    const struct rlimit limit = {bytes, bytes};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  const char* const path = error_file.empty() ? "/dev/null" : error_file.c_str();
  const int error = ::open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  ::dup2(error, STDERR_FILENO);
  ::execv(argv[0], argv.data());
  ::_exit(127);
}

RunningFathom::~RunningFathom() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void RunningFathom::send(int signal) const {
  if (pid_ > 0) ::kill(pid_, signal);
}

bool RunningFathom::ended() {
  int status = 0;
  if (pid_ > 0 && ::waitpid(pid_, &status, WNOHANG) == pid_) {
    code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    pid_ = -1;
  }
  return pid_ < 0;
}

int RunningFathom::wait() {
  while (!ended()) ::usleep(1000);
  return code_;
}

}  // namespace fathom::test
