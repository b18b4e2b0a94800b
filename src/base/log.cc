#include "base/log.h"

#include <atomic>

namespace fathom {
namespace {

std::atomic<LogSink> current_sink{nullptr};
std::atomic<LogLevel> current_level{LogLevel::kWarning};

}  // namespace

void set_log_sink(LogSink sink, LogLevel level) {
  current_level = level;
  current_sink = sink;
}

bool log_enabled(LogLevel level) {
  return current_sink.load() != nullptr && level <= current_level.load();
}

void log_message(LogLevel level, std::string_view message) {
  const LogSink sink = current_sink;
  if (sink != nullptr && level <= current_level.load()) sink(level, message);
}

}  // namespace fathom
