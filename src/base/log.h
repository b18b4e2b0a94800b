// What the library wants a person to know without it being a result or an error: notes and
// warnings. The library never prints; the program that embeds it sets a sink (src/cli does).
// Without one nothing is said. Thread-safe as far as the sink is; set the sink before threads
// start.
#pragma once

#include <string>
#include <string_view>

#include "base/str_cat.h"

namespace fathom {

enum class LogLevel { kError, kWarning, kInfo, kDebug };

// message is one line without a newline at its end.
using LogSink = void (*)(LogLevel level, std::string_view message);

// Messages of level and of more serious ones go to sink; null switches logging off.
void set_log_sink(LogSink sink, LogLevel level);

bool log_enabled(LogLevel level);
void log_message(LogLevel level, std::string_view message);

// The parts are put together only if someone listens.
template <typename... Parts>
void log(LogLevel level, const Parts&... parts) {
  if (log_enabled(level)) log_message(level, str_cat(parts...));
}

}  // namespace fathom
