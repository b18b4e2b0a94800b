// FATHOM_CHECK(condition, parts...): our own bug. Always on; prints the condition, the place and
// the parts (as str_cat would) and aborts. Never reachable by anything a user gives: that is a
// Result (base/result.h). FATHOM_DCHECK is the same for hot loops, in dev and sanitizer builds
// only.
#pragma once

#include <string>

#include "base/str_cat.h"

namespace fathom {
[[noreturn]] void check_failed(const char* condition, const char* file, int line,
                               const std::string& message);
}  // namespace fathom

#define FATHOM_CHECK(condition, ...)                                                          \
  do {                                                                                        \
    if (!(condition)) [[unlikely]]                                                            \
      ::fathom::check_failed(#condition, __FILE__, __LINE__, ::fathom::str_cat(__VA_ARGS__)); \
  } while (false)

#ifdef FATHOM_DCHECKS
#define FATHOM_DCHECK(condition, ...) FATHOM_CHECK(condition, __VA_ARGS__)
#else
#define FATHOM_DCHECK(condition, ...) \
  do {                                \
  } while (false)
#endif
