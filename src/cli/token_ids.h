// Token ids as JSON has them.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/json.h"

namespace fathom::cli {

// An array of integers from 0 on; whether a model knows them is asked later. field is for messages.
Result<std::vector<int32_t>> read_token_ids(const Json& value, std::string_view field);

}  // namespace fathom::cli
