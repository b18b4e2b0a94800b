// What lies within a JSON value, by the path to it: {"choices", "0", "message"}. Null where there
// is nothing.
#pragma once

#include <string>
#include <vector>

#include "io/json.h"

namespace fathom::test {

inline const Json& at(const Json& json, const std::vector<std::string>& path) {
  static const Json kNothing;
  const Json* here = &json;
  for (const std::string& key : path) {
    if (here->is_array()) {
      const auto i = static_cast<size_t>(std::stoi(key));
      if (i >= here->as_array().size()) return kNothing;
      here = &here->as_array()[i];
    } else {
      here = here->find(key);
      if (here == nullptr) return kNothing;
    }
  }
  return *here;
}

// A text, or anything else as JSON.
inline std::string text_at(const Json& json, const std::vector<std::string>& path) {
  const Json& found = at(json, path);
  return found.is_string() ? found.as_string() : found.dump();
}

}  // namespace fathom::test
