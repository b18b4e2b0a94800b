#include "tests/support/subprocess.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>

#include "base/check.h"

namespace fathom::test {
namespace {

using Clock = std::chrono::steady_clock;

int exit_code_of(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int ms_until(Clock::time_point deadline) {
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return left < 0 ? 0 : static_cast<int>(left);
}

// In the child: never returns.
[[noreturn]] void execute(const std::vector<std::string>& arguments, const RunOptions& options) {
  ::signal(SIGPIPE, SIG_DFL);
  if (!options.directory.empty() && ::chdir(options.directory.c_str()) != 0) ::_exit(127);
  for (const auto& [name, value] : options.environment) ::setenv(name.c_str(), value.c_str(), 1);
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  ::execvp(argv[0], argv.data());
  ::_exit(127);
}

struct Pipe {
  int read_end = -1;
  int write_end = -1;
  Pipe() {
    int ends[2];
    FATHOM_CHECK(::pipe2(ends, O_CLOEXEC) == 0, "no pipe");
    read_end = ends[0];
    write_end = ends[1];
  }
  ~Pipe() {
    close_end(read_end);
    close_end(write_end);
  }
  static void close_end(int& fd) {
    if (fd >= 0) ::close(fd);
    fd = -1;
  }
};

// One read; closes the end when there is nothing more.
void drain(int& fd, std::string& out) {
  char buffer[65536];
  const ssize_t n = ::read(fd, buffer, sizeof buffer);
  if (n > 0) {
    out.append(buffer, static_cast<size_t>(n));
  } else if (n == 0 || errno != EINTR) {
    Pipe::close_end(fd);
  }
}

void feed(int& fd, std::string_view& input) {
  const ssize_t n = ::write(fd, input.data(), input.size());
  if (n > 0) input.remove_prefix(static_cast<size_t>(n));
  if ((n < 0 && errno != EINTR && errno != EAGAIN) || input.empty()) Pipe::close_end(fd);
}

}  // namespace

RunResult run(const std::vector<std::string>& arguments, const RunOptions& options) {
  Pipe in, out, err;
  const pid_t pid = ::fork();
  FATHOM_CHECK(pid >= 0, "cannot fork");
  if (pid == 0) {
    ::dup2(in.read_end, STDIN_FILENO);
    ::dup2(out.write_end, STDOUT_FILENO);
    ::dup2(err.write_end, STDERR_FILENO);
    execute(arguments, options);
  }
  Pipe::close_end(in.read_end);
  Pipe::close_end(out.write_end);
  Pipe::close_end(err.write_end);
  ::fcntl(in.write_end, F_SETFL, O_NONBLOCK);
  const auto old_handler = ::signal(SIGPIPE, SIG_IGN);  // the program need not read its input

  RunResult result;
  std::string_view input = options.input;
  if (input.empty()) Pipe::close_end(in.write_end);
  const auto deadline = Clock::now() + std::chrono::seconds(options.timeout_seconds);
  while (out.read_end >= 0 || err.read_end >= 0) {
    pollfd polled[3] = {
        {in.write_end, POLLOUT, 0}, {out.read_end, POLLIN, 0}, {err.read_end, POLLIN, 0}};
    const int ready = ::poll(polled, 3, ms_until(deadline));
    if (ready == 0) {
      result.timed_out = true;
      ::kill(pid, SIGKILL);
      break;
    }
    if (in.write_end >= 0 && polled[0].revents != 0) feed(in.write_end, input);
    if (out.read_end >= 0 && polled[1].revents != 0) drain(out.read_end, result.out);
    if (err.read_end >= 0 && polled[2].revents != 0) drain(err.read_end, result.err);
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  ::signal(SIGPIPE, old_handler);
  result.exit_code = exit_code_of(status);
  return result;
}

RunResult run_fathom(std::vector<std::string> arguments, const RunOptions& options) {
  arguments.insert(arguments.begin(), FATHOM_BINARY);
  return run(arguments, options);
}

Terminal::Terminal(const std::vector<std::string>& arguments, const RunOptions& options) {
  winsize size = {24, 80, 0, 0};
  pid_ = ::forkpty(&fd_, nullptr, nullptr, &size);
  FATHOM_CHECK(pid_ >= 0, "no pseudo-terminal");
  if (pid_ == 0) {
    ::setenv("TERM", "xterm", 1);
    ::unsetenv("NO_COLOR");
    execute(arguments, options);
  }
}

Terminal::~Terminal() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  ::close(fd_);
}

void Terminal::type(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd_, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    FATHOM_CHECK(n > 0, "the terminal takes no input");
    text.remove_prefix(static_cast<size_t>(n));
  }
}

bool Terminal::read_some(int timeout_ms) {
  pollfd polled = {fd_, POLLIN, 0};
  if (::poll(&polled, 1, timeout_ms) <= 0) return true;
  char buffer[4096];
  const ssize_t n = ::read(fd_, buffer, sizeof buffer);  // EIO: the program has ended
  if (n > 0) output_.append(buffer, static_cast<size_t>(n));
  return n > 0 || (n < 0 && errno == EINTR);
}

bool Terminal::expect(std::string_view text, int timeout_seconds) {
  const auto deadline = Clock::now() + std::chrono::seconds(timeout_seconds);
  bool open = true;
  while (true) {
    const size_t found = output_.find(text, seen_);
    if (found != std::string::npos) {
      seen_ = found + text.size();
      return true;
    }
    if (!open || ms_until(deadline) == 0) return false;
    open = read_some(ms_until(deadline));
  }
}

int Terminal::wait(int timeout_seconds) {
  const auto deadline = Clock::now() + std::chrono::seconds(timeout_seconds);
  while (ms_until(deadline) > 0 && read_some(ms_until(deadline))) {
  }
  int status = 0;
  do {
    if (::waitpid(pid_, &status, WNOHANG) == pid_) {
      pid_ = -1;
      return exit_code_of(status);
    }
    ::usleep(10'000);
  } while (ms_until(deadline) > 0);
  return -1;
}

}  // namespace fathom::test
