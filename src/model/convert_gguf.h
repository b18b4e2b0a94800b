// A checkpoint as GGUF files for other programs (arch deepseek2), and back to a folder as
// published.
//
// Into GGUF: matrices keep their type (FP8 becomes BF16), or take the one that is asked for; norms,
// router and router bias are F32. Of a block type: the embedding, the head, kv_a_proj_with_mqa and
// kv_b_proj are Q8_0 where the type has fewer bits; rows that are no whole blocks of 256 are Q8_0,
// those that are no whole blocks of 32 BF16. kv_b_proj is written in the two parts that attention
// over the latent takes, keys turned per head. MTP modules are left out: older readers of the
// architecture refuse files that have one.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/gguf.h"
#include "model/conversion.h"
#include "model/open_model.h"

namespace fathom {

struct GgufPlan {
  GgufMetadataBuilder metadata;  // of the first file, but for split.*
  std::vector<OutputTensor> tensors;
  std::vector<std::string> notes;  // what a person should know, one sentence each
  int64_t scratch_bytes_min = 0;
  std::string what;  // as those of ConversionPlan
  std::vector<std::string> inputs;
  std::vector<std::string> input_paths;
  std::shared_ptr<const void> owner;  // what the sources read from
};

// type: F32, F16, BF16 or a block type of GGUF, for the matrices; none: as they are. The caller
// adds the tokenizer's metadata. name: general.name.
Result<GgufPlan> plan_gguf(const OpenedModel& model, std::optional<Dtype> type,
                           const std::string& name);

// For run_conversion(): one file at path, or if tensors have more than part_bytes several
// (gguf_part_path()). A tensor larger than that gets a file to itself.
Result<ConversionPlan> plan_gguf_files(GgufPlan plan, const std::string& path,
                                       std::optional<int64_t> part_bytes);

// Back: a folder with config.json and tokenizer_config.json (tokenizer.json the caller adds); block
// types become BF16, the others stay.
Result<ConversionPlan> plan_from_gguf(const OpenedModel& model, int64_t shard_bytes);

}  // namespace fathom
