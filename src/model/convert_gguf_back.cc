#include <algorithm>

#include "io/files.h"
#include "io/json.h"
#include "io/printable.h"
#include "model/convert_gguf.h"
#include "model/convert_shards.h"
#include "model/encoded_rows.h"
#include "tensor/gguf_blocks.h"

namespace fathom {

namespace {

// What --to bf16 would write: the type of the matrices where they were quantised.
Result<std::string> config_text(const OpenedModel& model, bool dequantised) {
  FATHOM_TRY(const FileBytes text, model.files.open_small("config.json", kSmallFileBytesMax));
  if (!dequantised) return std::string(text.text());
  FATHOM_TRY(Json config, parse_json(text.text()));
  config.set("torch_dtype", "bfloat16");
  return config.dump_pretty() + "\n";
}

}  // namespace

Result<ConversionPlan> plan_from_gguf(const OpenedModel& model, int64_t shard_bytes) {
  const Checkpoint& checkpoint = *model.checkpoint;
  FATHOM_TRY(const CheckedTensors checked, check_input(model.config, checkpoint));
  ConversionPlan plan;
  plan.what = str_cat(model.files.describe(), " as a folder in files of ", shard_bytes, " bytes");
  plan.notes = model.notes;
  plan.notes.insert(plan.notes.end(), checked.notes.begin(), checked.notes.end());
  for (const Shard& shard : checkpoint.shards()) {
    plan.inputs.push_back(file_identity(shard.name));
    plan.input_paths.push_back(shard.name);
  }
  bool dequantised = false;
  std::vector<OutputTensor> tensors;
  for (const CheckpointTensor* entry : in_layer_order(model.config, checkpoint)) {
    const Tensor& t = entry->tensor;
    if (!is_gguf_block_type(t.dtype)) {
      tensors.push_back({{entry->name, t.dtype, t.shape}, copy_of(t.data, t.bytes())});
      continue;
    }
    dequantised = true;
    RowUnits units = all_rows(std::make_shared<const MatrixRows>(t, nullptr));
    plan.scratch_bytes_min =
        std::max(plan.scratch_bytes_min, units.rows_max * matrix_bytes(Dtype::kBF16, 1, units.k));
    tensors.push_back({{entry->name, Dtype::kBF16, t.shape},
                       encoded(std::move(units), Dtype::kBF16,
                               str_cat("tensor ", printable(entry->name), " (",
                                       checkpoint.file_of(entry->name), ")"))});
  }
  if (dequantised) plan.notes.push_back("quantised weights are written as BF16");
  FATHOM_TRY(const FileBytes tokenizer_config,
             model.files.open_small("tokenizer_config.json", kSmallFileBytesMax));
  FATHOM_TRY(std::string config, config_text(model, dequantised));
  plan.texts.emplace_back("tokenizer_config.json", tokenizer_config.text());
  plan.texts.emplace_back("config.json", std::move(config));
  distribute(std::move(tensors), shard_bytes, plan);
  plan.owner = model.checkpoint;
  return plan;
}

}  // namespace fathom
