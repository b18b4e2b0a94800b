#include "base/log.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

std::string seen;
void keep(LogLevel, std::string_view message) { str_append(seen, message, "|"); }

TEST(Log, SaysWhatIsAtLeastAsSeriousAsTheLevelAndNothingWithoutASink) {
  log(LogLevel::kError, "nobody listens");
  set_log_sink(keep, LogLevel::kInfo);
  log(LogLevel::kWarning, "layer ", 3);
  log(LogLevel::kInfo, "info");
  log(LogLevel::kDebug, "debug");
  set_log_sink(nullptr, LogLevel::kDebug);
  log(LogLevel::kError, "again nobody");
  EXPECT_EQ(seen, "layer 3|info|");
}

}  // namespace
}  // namespace fathom
