#include "base/result.h"

#include <cerrno>
#include <cstring>

namespace fathom {

Error io_error(const std::string& what) {
  return Error{ErrorCode::kIo, str_cat(what, ": ", std::strerror(errno))};
}

}  // namespace fathom
