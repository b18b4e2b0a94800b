#include "model/convert_shards.h"

#include <algorithm>
#include <set>
#include <unordered_map>

#include "base/math.h"
#include "io/json.h"
#include "io/printable.h"
#include "model/demo_names.h"
#include "model/demo_shards.h"
#include "model/weights.h"
#include "model/weights_check.h"

namespace fathom {

namespace {

constexpr std::string_view kConfig = "config.json";

std::string padded(int64_t n, size_t width) {
  std::string digits = str_cat(n);
  return std::string(digits.size() < width ? width - digits.size() : 0, '0') + digits;
}

int64_t bytes_of(const TensorSpec& spec) {
  int64_t bytes = dtype_size(spec.dtype);
  for (const int64_t extent : spec.shape) bytes *= extent;
  return bytes;
}

// A tensor of a published checkpoint, on its way to the ranks.
class Splitter {
 public:
  Splitter(const Checkpoint& checkpoint, const ModelConfig& config, int64_t n, ConversionPlan& plan)
      : checkpoint_(checkpoint),
        n_(n),
        experts_per_rank_(config.n_routed_experts / n),
        plan_(plan) {}

  Status add(const CheckpointTensor& entry, const DemoTensor& demo) {
    const Tensor& t = entry.tensor;
    switch (demo.split) {
      case DemoSplit::kWhole:
        for (int64_t rank = 0; rank < n_; ++rank)
          put(rank, demo, t, t.shape, copy_of(t.data, t.bytes()));
        return {};
      case DemoSplit::kExpert:
        put(demo.expert / experts_per_rank_, demo, t, t.shape, copy_of(t.data, t.bytes()));
        return {};
      case DemoSplit::kRows:
        return add_rows(entry, demo);
      case DemoSplit::kColumns:
        return add_columns(entry, demo);
    }
    return {};
  }

 private:
  // dim 0 or 1. A weight in blocks is split where its scales are.
  Status check(const CheckpointTensor& entry, size_t dim) const {
    const Tensor& t = entry.tensor;
    const char* const what = dim == 0 ? " rows" : " columns";
    const std::string where =
        str_cat("tensor ", printable(entry.name), " (", checkpoint_.file_of(entry.name), ")");
    if (t.shape[dim] % n_ != 0) {
      return invalid_error(where, ": ", t.shape[dim], what, " do not divide into ", n_,
                           " equal parts; choose another "
                           "--model-parallel");
    }
    if (n_ > 1 && t.dtype == Dtype::kF8E4M3 && t.shape[dim] / n_ % 128 != 0) {
      return invalid_error(
          where, ": each of ", n_, " parts would have ", t.shape[dim] / n_, what,
          ", which cuts through its FP8 blocks of 128; choose another --model-parallel, or cast it "
          "--to bf16 first");
    }
    return {};
  }

  Status add_rows(const CheckpointTensor& entry, const DemoTensor& demo) {
    FATHOM_RETURN_IF_ERROR(check(entry, 0));
    const Tensor& t = entry.tensor;
    std::vector<int64_t> shape = t.shape;
    shape[0] /= n_;
    const int64_t bytes = t.bytes() / n_;
    for (int64_t rank = 0; rank < n_; ++rank)
      put(rank, demo, t, shape, copy_of(t.as<std::byte>() + rank * bytes, bytes));
    return {};
  }

  Status add_columns(const CheckpointTensor& entry, const DemoTensor& demo) {
    FATHOM_RETURN_IF_ERROR(check(entry, 1));
    const Tensor& t = entry.tensor;
    const int64_t stride = t.shape[1] * dtype_size(t.dtype);
    const int64_t bytes = stride / n_;
    plan_.scratch_bytes_min = std::max(plan_.scratch_bytes_min, bytes);
    for (int64_t rank = 0; rank < n_; ++rank) {
      put(rank, demo, t, {t.shape[0], t.shape[1] / n_},
          rows_side_by_side({{t.as<std::byte>() + rank * bytes, stride, bytes}}, t.shape[0]));
    }
    return {};
  }

  void put(int64_t rank, const DemoTensor& demo, const Tensor& t, std::vector<int64_t> shape,
           TensorSource source) {
    plan_.files[static_cast<size_t>(rank)].tensors.push_back(
        {{demo.name, t.dtype, std::move(shape)}, std::move(source)});
  }

  const Checkpoint& checkpoint_;
  const int64_t n_;
  const int64_t experts_per_rank_;
  ConversionPlan& plan_;
};

Status check_divisible(const ModelConfig& config, int64_t n) {
  const std::pair<const char*, int64_t> sizes[] = {
      {"n_routed_experts", config.n_routed_experts},
      {"num_attention_heads", config.num_attention_heads},
      {"vocab_size", config.vocab_size}};
  for (const auto& [name, size] : sizes) {
    if (size % n != 0) {
      return invalid_error(name, " is ", size, ", which does not divide into ", n,
                           " equal parts; choose another --model-parallel");
    }
  }
  if (config.tie_word_embeddings) {
    return unsupported_error(
        "the model's embedding and head are tied (tie_word_embeddings), which the demo's files "
        "cannot say");
  }
  return {};
}

}  // namespace

void distribute(std::vector<OutputTensor> tensors, int64_t shard_bytes, ConversionPlan& plan) {
  int64_t filled = 0;
  for (OutputTensor& tensor : tensors) {
    const int64_t bytes = bytes_of(tensor.spec);
    if (plan.files.empty() || filled + bytes > shard_bytes) {
      plan.files.emplace_back();
      filled = 0;
    }
    plan.files.back().tensors.push_back(std::move(tensor));
    filled += bytes;
  }
  const auto n = static_cast<int64_t>(plan.files.size());
  plan.index = n > 1;
  for (int64_t i = 0; i < n; ++i) {
    plan.files[static_cast<size_t>(i)].name =
        n == 1 ? std::string("model.safetensors")
               : str_cat("model-", padded(i + 1, 5), "-of-", padded(n, 6), ".safetensors");
  }
}

std::vector<const CheckpointTensor*> in_layer_order(const ModelConfig& config,
                                                    const Checkpoint& checkpoint) {
  std::unordered_map<std::string, int64_t> position;
  for (const ExpectedTensor& expected : expected_tensors(config)) {
    const auto n = static_cast<int64_t>(position.size());
    position.emplace(expected.name, 2 * n);
    position.emplace(scale_name(expected.name), 2 * n + 1);
  }
  std::vector<std::pair<int64_t, const CheckpointTensor*>> order;
  for (const CheckpointTensor& entry : checkpoint.tensors()) {
    const auto found = position.find(entry.name);
    order.emplace_back(found == position.end() ? INT64_MAX : found->second, &entry);
  }
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<const CheckpointTensor*> out;
  for (const auto& [unused, entry] : order) out.push_back(entry);
  return out;
}

void name_inputs(const Checkpoint& checkpoint, ConversionPlan& plan) {
  for (const Shard& shard : checkpoint.shards())
    plan.inputs.push_back(input_identity(checkpoint.files(), shard.name));
}

Result<ConversionPlan> plan_reshard(const ModelConfig& config,
                                    std::shared_ptr<const Checkpoint> owner, int64_t shard_bytes) {
  const Checkpoint& checkpoint = *owner;
  FATHOM_TRY(const CheckedTensors checked, check_input(config, checkpoint));
  ConversionPlan plan;
  plan.what = str_cat(checkpoint.files().describe(), " in files of ", shard_bytes, " bytes");
  plan.notes = checked.notes;
  name_inputs(checkpoint, plan);
  FATHOM_TRY(plan.copies, files_to_copy(checkpoint.files(), {}));
  std::vector<OutputTensor> tensors;
  for (const CheckpointTensor* entry : in_layer_order(config, checkpoint)) {
    const Tensor& t = entry->tensor;
    tensors.push_back({stored_spec({entry->name, t.dtype, t.shape}), copy_of(t.data, t.bytes())});
  }
  distribute(std::move(tensors), shard_bytes, plan);
  plan.owner = std::move(owner);
  return plan;
}

Result<ConversionPlan> plan_model_parallel(const ModelConfig& config,
                                           std::shared_ptr<const Checkpoint> owner, int64_t n) {
  const Checkpoint& checkpoint = *owner;
  FATHOM_RETURN_IF_ERROR(check_unpacked(config, checkpoint, "the demo's files"));
  FATHOM_RETURN_IF_ERROR(check_divisible(config, n));
  FATHOM_TRY(const CheckedTensors checked, check_input(config, checkpoint));
  ConversionPlan plan;
  plan.what = str_cat(checkpoint.files().describe(), " in ", n, " files for model parallelism");
  plan.notes = checked.notes;
  name_inputs(checkpoint, plan);
  FATHOM_TRY(plan.copies, files_to_copy(checkpoint.files(), {}));
  for (int64_t rank = 0; rank < n; ++rank) plan.files.push_back({demo_file_name(rank, n), {}});
  Splitter splitter(checkpoint, config, n, plan);
  for (const CheckpointTensor* entry : in_layer_order(config, checkpoint)) {
    if (is_mtp_tensor(config, entry->name) || entry->name.ends_with(".rotary_emb.inv_freq"))
      continue;
    const std::optional<DemoTensor> demo = demo_tensor(entry->name);
    if (!demo)
      return unsupported_error("tensor ", printable(entry->name),
                               " has no name in the demo's files");
    FATHOM_RETURN_IF_ERROR(splitter.add(*entry, *demo));
  }
  if (checked.n_mtp > 0) {
    plan.notes.push_back("the MTP module is left out: the demo's files have no place for it");
  }
  plan.owner = std::move(owner);
  return plan;
}

bool is_model_parallel(const ModelFiles& files) {
  const auto names = files.list();
  if (!names.ok() || files.exists(kIndexName) || files.exists("model.safetensors")) return false;
  return std::any_of(names->begin(), names->end(),
                     [](const std::string& name) { return parse_demo_file_name(name); });
}

Result<ConversionPlan> plan_from_model_parallel(const ModelFiles& files,
                                                const std::string& config_json,
                                                const std::string& config_name,
                                                int64_t shard_bytes) {
  FATHOM_TRY(std::shared_ptr<const DemoShards> shards, DemoShards::open(files));
  auto json = parse_json(config_json);
  if (!json.ok()) return invalid_error(config_name, " is ", json.error().message);
  std::string config_text = config_json;
  ConversionPlan plan;
  if (is_demo_config(*json)) {
    FATHOM_TRY(*json, published_config(*json, shards->has_router_bias(), config_name));
    config_text = json->dump_pretty() + "\n";
    plan.notes.push_back(
        "config.json is made from the demo's: token ids and the length of the context are not in "
        "it");
  }
  FATHOM_TRY(const ModelConfig config, parse_model_config(config_text, config_name));
  FATHOM_TRY(std::vector<OutputTensor> tensors,
             shards->published_tensors(config, &plan.scratch_bytes_min));
  plan.what = str_cat(files.describe(), " back from ", shards->size(), " files, in files of ",
                      shard_bytes, " bytes");
  for (int64_t rank = 0; rank < shards->size(); ++rank) {
    plan.inputs.push_back(input_identity(files, demo_file_name(rank, shards->size())));
  }
  if (config.num_nextn_predict_layers > 0) {
    plan.notes.push_back(
        "config.json names an MTP module, which the demo's files do not hold: the result is "
        "without it");
  }
  FATHOM_TRY(plan.copies, files_to_copy(files, {std::string(kConfig)}));
  plan.texts.emplace_back(kConfig, config_text);
  distribute(std::move(tensors), shard_bytes, plan);
  plan.owner = std::move(shards);
  return plan;
}

}  // namespace fathom
