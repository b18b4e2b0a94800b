#include "io/printable.h"

#include "io/json.h"

namespace fathom {

std::string printable(std::string_view text, size_t max_bytes) {
  const bool cut = text.size() > max_bytes;
  std::string quoted;
  append_json_string(quoted, text.substr(0, max_bytes));
  std::string out = quoted.substr(1, quoted.size() - 2);
  if (cut) out += "...";
  return out;
}

}  // namespace fathom
