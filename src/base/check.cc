#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace fathom {

void check_failed(const char* condition, const char* file, int line, const std::string& message) {
  std::fprintf(stderr, "fathom: internal error at %s:%d: %s does not hold. %s\n", file, line,
               condition, message.c_str());
  std::abort();
}

}  // namespace fathom
