#include "cli/interrupt.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>

#include "io/files.h"

namespace fathom::cli {
namespace {

constexpr int kInterruptedExitCode = 130;  // 128 + SIGINT, as shells have it

std::atomic<bool> flag{false};
std::atomic<int> scopes{0};
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free,
              "used in a signal handler");

void on_interrupt(int) {
  if (scopes.load() > 0 && !flag.exchange(true)) return;
  remove_unfinished_files();
  ::_exit(kInterruptedExitCode);
}

}  // namespace

void install_signal_handlers() {
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
void clear_interrupted() { flag.store(false); }

Error interrupted_error() { return Error{ErrorCode::kInterrupted, ""}; }

}  // namespace fathom::cli
