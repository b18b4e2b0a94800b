// Where a command's words go. Results: standard output, every write checked. Everything else:
// standard error.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/log.h"
#include "base/result.h"
#include "io/files.h"

namespace fathom::cli {

// A buffered writer to a file descriptor that it does not own, or to a file that gets its name when
// it is complete. Not thread-safe. If the reader of a pipe has gone, the error has no message: the
// program ends quietly.
class Output {
 public:
  // name is for messages: "standard output".
  Output(int fd, std::string name) : fd_(fd), name_(std::move(name)) {}
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  // "" or "-": standard output. Else a file, which is not overwritten unless force.
  static Result<std::unique_ptr<Output>> create(const std::string& path, bool force);

  Status write(std::string_view text);  // may keep it for later
  Status flush();                       // what was written has reached the system
  Status write_now(std::string_view text);
  // The end: flushes, and gives a file its name. Destroyed without it, a file leaves nothing
  // behind.
  Status finish();

 private:
  int fd_ = -1;
  std::string name_;
  std::optional<AtomicFile> file_;
  std::string buffer_;
};

// The one writer to standard output. main flushes it at the end and reports a failure.
Output& standard_output();

// Log messages of level and of more serious ones go to standard error; quiet switches progress off
// too.
void set_verbosity(LogLevel level, bool quiet);
bool quiet();

// "fathom: message" on standard error, whatever the verbosity. Control characters (a file's name
// may hold some) are written as \xNN.
void print_error(std::string_view message);

// The same for what a person may want to know; nothing with --quiet.
void print_note(std::string_view message);

// Whether fd may get colour: it and standard error are terminals, NO_COLOR is not set, TERM is not
// "dumb", not --quiet.
bool colour_on(int fd);

}  // namespace fathom::cli
