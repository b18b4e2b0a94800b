#include "cli/output.h"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/str_cat.h"
#include "io/printable.h"

namespace fathom::cli {
namespace {

constexpr size_t kBufferBytes = 64 * 1024;
constexpr size_t kMessageBytes = 4096;
bool quiet_mode = false;

// Everything or an errno (0: done).
int write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    text.remove_prefix(static_cast<size_t>(n));
  }
  return 0;
}

std::string_view level_name(LogLevel level) {
  switch (level) {
    case LogLevel::kError:
      return "error: ";
    case LogLevel::kWarning:
      return "warning: ";
    case LogLevel::kInfo:
    case LogLevel::kDebug:
      return "";
  }
  return "";
}

void log_to_stderr(LogLevel level, std::string_view message) {
  // One write, so that lines of several threads stay whole. Nobody can be told if it fails.
  (void)write_all(STDERR_FILENO,
                  str_cat("fathom: ", level_name(level), printable(message, kMessageBytes), "\n"));
}

}  // namespace

Result<std::unique_ptr<Output>> Output::create(const std::string& path, bool force) {
  if (path.empty() || path == "-")
    return std::make_unique<Output>(STDOUT_FILENO, "standard output");
  FATHOM_TRY(AtomicFile file, AtomicFile::create(path, force));
  auto output = std::make_unique<Output>(-1, path);
  output->file_.emplace(std::move(file));
  return output;
}

Status Output::write(std::string_view text) {
  buffer_ += text;
  return buffer_.size() >= kBufferBytes ? flush() : Status();
}

Status Output::flush() {
  if (buffer_.empty()) return {};
  const std::string text = std::exchange(buffer_, {});
  if (file_.has_value()) return file_->append(text);
  const int error = write_all(fd_, text);
  if (error == 0) return {};
  if (error == EPIPE) return Error{ErrorCode::kIo, ""};
  return Error{ErrorCode::kIo,
               str_cat("cannot write to ", name_, ": ", std::strerror(error),
                       error == ENOSPC ? "; free some space and run it again" : "")};
}

Status Output::write_now(std::string_view text) {
  buffer_ += text;
  return flush();
}

Status Output::finish() {
  FATHOM_RETURN_IF_ERROR(flush());
  return file_.has_value() ? file_->commit() : Status();
}

Output& standard_output() {
  static Output output(STDOUT_FILENO, "standard output");
  return output;
}

void set_verbosity(LogLevel level, bool quiet) {
  quiet_mode = quiet;
  set_log_sink(log_to_stderr, level);
}

bool quiet() { return quiet_mode; }

void print_error(std::string_view message) {
  (void)write_all(STDERR_FILENO, str_cat("fathom: ", printable(message, kMessageBytes), "\n"));
}

void print_note(std::string_view message) {
  if (!quiet_mode) print_error(message);
}

bool colour_on(int fd) {
  const char* const no_color = std::getenv("NO_COLOR");
  const char* const term = std::getenv("TERM");
  return !quiet_mode && ::isatty(fd) == 1 && ::isatty(STDERR_FILENO) == 1 &&
         (no_color == nullptr || *no_color == '\0') &&
         (term == nullptr || std::string_view(term) != "dumb");
}

}  // namespace fathom::cli
