#include "cli/interrupt.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>

#include "io/files.h"

namespace fathom::cli {
namespace {

constexpr int kInterruptedExitCode = 130;  // 128 + SIGINT, as shells have it

std::atomic<bool> flag{false};
std::atomic<int> scopes{0};
std::atomic<bool> by_term{false};
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free,
              "used in a signal handler");

int wake[2] = {-1, -1};  // a byte in this pipe for each signal

void on_interrupt(int signal) {
  by_term.store(signal == SIGTERM);
  if (scopes.load() > 0 && !flag.exchange(true)) {
    [[maybe_unused]] const ssize_t n = ::write(wake[1], "", 1);
    return;
  }
  remove_unfinished_files();
  ::_exit(kInterruptedExitCode);
}

}  // namespace

void install_signal_handlers() {
  if (::pipe2(wake, O_CLOEXEC | O_NONBLOCK) != 0) wake[0] = wake[1] = -1;
  struct sigaction action = {};
  sigemptyset(&action.sa_mask);
  action.sa_handler = on_interrupt;  // no SA_RESTART: a blocked read must return
  ::sigaction(SIGINT, &action, nullptr);
  action.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &action, nullptr);
  ::sigaction(SIGXFSZ, &action, nullptr);  // a limit on the size of files: write says EFBIG
}

InterruptScope::InterruptScope(bool also_term) {
  ++scopes;
  if (!also_term) return;
  struct sigaction action = {};
  sigemptyset(&action.sa_mask);
  action.sa_handler = on_interrupt;
  ::sigaction(SIGTERM, &action, nullptr);
}
InterruptScope::~InterruptScope() { --scopes; }

bool interrupted() { return flag.load(); }
int interrupt_fd() { return wake[0]; }
void wait_until_interrupted() {
  while (!interrupted()) {
    pollfd waited = {.fd = wake[0], .events = POLLIN, .revents = 0};
    ::poll(&waited, 1, -1);
    char byte = 0;
    [[maybe_unused]] const ssize_t n = ::read(wake[0], &byte, 1);
  }
}
bool interrupted_by_term() { return flag.load() && by_term.load(); }
void clear_interrupted() { flag.store(false); }

Error interrupted_error() { return Error{ErrorCode::kInterrupted, ""}; }

}  // namespace fathom::cli
