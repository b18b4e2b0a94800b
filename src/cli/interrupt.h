// Ctrl-C. As a rule it ends the program at once with exit code 130. Work that has something to put
// in order first (a partial file, a terminal, a conversation) holds an InterruptScope and looks at
// interrupted() as it goes.
#pragma once

#include "base/result.h"

namespace fathom::cli {

// Called once, at the start of main. Also makes a closed pipe an error of write (EPIPE) and no
// signal.
void install_signal_handlers();

// While one lives, the first Ctrl-C only sets the flag (and lets a blocked read return with EINTR);
// another one before the flag is cleared ends the program. May be nested. also_term: SIGTERM counts
// as Ctrl-C from then on.
class InterruptScope {
 public:
  explicit InterruptScope(bool also_term = false);
  ~InterruptScope();
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;
};

bool interrupted();
// Something can be read from it once interrupted() is true: for those who wait for a file too.
int interrupt_fd();
// For programs that have nothing else to do; within a scope.
void wait_until_interrupted();
// Whether it was SIGTERM that interrupted.
bool interrupted_by_term();
void clear_interrupted();

// What a command returns then: exit code 130, nothing said.
Error interrupted_error();

}  // namespace fathom::cli
