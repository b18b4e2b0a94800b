// A model in one GGUF file, or in several that were split: NAME-00001-of-00003.gguf and so on,
// which say by split.no and split.count what belongs together. Metadata stand in the first.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/checkpoint.h"
#include "io/gguf.h"

namespace fathom {

inline constexpr int64_t kGgufPartsMax = 65'535;  // split.count has 16 bits

struct GgufParts {
  GgufMetadata metadata;  // points into the first shard's bytes
  std::vector<Shard> shards;
  std::vector<CheckpointTensor> tensors;  // under the names of the file, in its order
};

// path names the only file, or the first of several; all of them are opened. Errors: another part
// than the first, a part that is missing or of another model, a tensor in two parts, fewer or more
// tensors than split.tensors.count.
Result<GgufParts> open_gguf(const std::string& path);

// "NAME-00002-of-00003.gguf" of "NAME.gguf" (part from 0); the path itself if n_parts is 1.
std::string gguf_part_path(std::string_view path, int64_t part, int64_t n_parts);

}  // namespace fathom
