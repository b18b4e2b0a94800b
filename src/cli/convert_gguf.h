// `fathom convert` with a GGUF file at either end.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "cli/convert_common.h"

namespace fathom::cli {

// IN (a folder or a .gguf) to the file OUT. quantize: a type of the matrices by its name in small
// letters, or empty: as they are. part_bytes: of each file, none: one file.
Status convert_to_gguf(const ConversionCommand& command, const std::string& quantize,
                       std::optional<int64_t> part_bytes);
// IN.gguf to a folder as published.
Status convert_from_gguf(const ConversionCommand& command, int64_t shard_bytes);

}  // namespace fathom::cli
