#include "cli/token_ids.h"

namespace fathom::cli {

Result<std::vector<int32_t>> read_token_ids(const Json& value, std::string_view field) {
  if (!value.is_array())
    return invalid_error(field, " is ", value.type_name(), ", expected an array of token ids");
  std::vector<int32_t> ids;
  ids.reserve(value.as_array().size());
  for (const Json& id : value.as_array()) {
    if (!id.is_int() || id.as_int() < 0 || id.as_int() > INT32_MAX) {
      return invalid_error(field, " holds ", id.dump().substr(0, 40), ", expected token ids");
    }
    ids.push_back(static_cast<int32_t>(id.as_int()));
  }
  return ids;
}

}  // namespace fathom::cli
