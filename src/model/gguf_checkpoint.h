// A GGUF file as a checkpoint under published names: experts as slices of the file's 3-D tensors,
// everything a view of the mapped file, but for kv_b_proj where the file has it in two parts
// (attn_k_b, attn_v_b), which is put together in memory.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "io/checkpoint.h"
#include "io/gguf_parts.h"
#include "model/config.h"

namespace fathom {

// display_name: of the file. Names, shapes and dtypes are checked as far as the views need it; the
// rest by check_tensors(). Adds a note if something was put together.
Result<Checkpoint> gguf_checkpoint(const ModelConfig& config, GgufParts& parts,
                                   const std::string& display_name,
                                   std::vector<std::string>& notes);

}  // namespace fathom
