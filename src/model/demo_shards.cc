#include "model/demo_shards.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <unordered_set>

#include "base/math.h"
#include "io/printable.h"
#include "io/safetensors.h"
#include "model/demo_names.h"
#include "model/weights.h"
#include "model/weights_check.h"

namespace fathom {

namespace {

constexpr int64_t kRanksMax = 4096;

}  // namespace

std::string demo_file_name(int64_t rank, int64_t n) {
  return str_cat("model", rank, "-mp", n, ".safetensors");
}

std::optional<std::pair<int64_t, int64_t>> parse_demo_file_name(const std::string& name) {
  constexpr std::string_view kBegin = "model";
  constexpr std::string_view kMiddle = "-mp";
  if (!name.starts_with(kBegin)) return std::nullopt;
  const size_t middle = name.find(kMiddle);
  if (middle == std::string::npos) return std::nullopt;
  int64_t rank = -1;
  int64_t n = -1;
  std::from_chars(name.data() + kBegin.size(), name.data() + middle, rank);
  std::from_chars(name.data() + middle + kMiddle.size(), name.data() + name.size(), n);
  // Written the same way again, so that 01 and +1 are no numbers here.
  if (rank < 0 || n < 1 || name != demo_file_name(rank, n)) return std::nullopt;
  return std::pair{rank, n};
}

bool is_mtp_tensor(const ModelConfig& config, const std::string& name) {
  for (int64_t k = 0; k < config.num_nextn_predict_layers; ++k) {
    if (name.starts_with(layer_prefix(config.num_hidden_layers + k))) return true;
  }
  return false;
}

Result<std::shared_ptr<const DemoShards>> DemoShards::open(const ModelFiles& files) {
  FATHOM_TRY(const std::vector<std::string> names, files.list());
  int64_t n = 0;
  std::string first;
  for (const std::string& name : names) {
    const auto parsed = parse_demo_file_name(name);
    if (!parsed) continue;
    if (n != 0 && parsed->second != n) {
      return invalid_error(files.describe(), " holds files of two conversions, ", first, " and ",
                           name, "; keep those of one");
    }
    n = parsed->second;
    first = name;
  }
  if (n == 0) return invalid_error(files.describe(), " holds no model0-mpN.safetensors");
  if (n > kRanksMax)
    return invalid_error(files.path_of(first), ": ", n, " files, at most ", kRanksMax,
                         " are supported");
  auto out = std::make_shared<DemoShards>();
  for (int64_t rank = 0; rank < n; ++rank) {
    Rank shard;
    const std::string name = demo_file_name(rank, n);
    if (!files.exists(name)) {
      return invalid_error(files.path_of(name), " is missing beside ", first,
                           "; is the copy complete?");
    }
    shard.file = files.path_of(name);
    FATHOM_TRY(shard.bytes, files.open(name));
    FATHOM_TRY(SafetensorsFile parsed, parse_safetensors(shard.bytes.bytes(), shard.file));
    for (NamedTensor& named : parsed.tensors)
      shard.tensors.emplace(std::move(named.name), std::move(named.tensor));
    out->ranks_.push_back(std::move(shard));
  }
  return std::shared_ptr<const DemoShards>(std::move(out));
}

bool DemoShards::has_router_bias() const {
  for (const auto& [name, tensor] : ranks_.front().tensors) {
    if (name.ends_with(".ffn.gate.bias")) return true;
  }
  return false;
}

class DemoShards::Joiner {
 public:
  Joiner(const DemoShards& shards, const ModelConfig& config, int64_t* scratch_bytes_min)
      : ranks_(shards.ranks_),
        n_(shards.size()),
        config_(config),
        scratch_bytes_min_(scratch_bytes_min) {}

  Result<std::vector<OutputTensor>> join() {
    if (config_.n_routed_experts % n_ != 0) {
      return invalid_error("n_routed_experts is ", config_.n_routed_experts, ", which ", n_,
                           " files cannot share; is "
                           "this config.json from the same model?");
    }
    ModelConfig main_model = config_;
    main_model.num_nextn_predict_layers = 0;
    for (const ExpectedTensor& expected : expected_tensors(main_model)) {
      if (expected.optional) continue;
      const bool fp8 = expected.quantised && config_.quantization_config.has_value();
      FATHOM_RETURN_IF_ERROR(add(expected.name, expected.shape, fp8));
      if (!fp8) continue;
      const std::vector<int64_t> grid = {ceil_div(expected.shape[0], 128),
                                         ceil_div(expected.shape[1], 128)};
      FATHOM_RETURN_IF_ERROR(add(scale_name(expected.name), grid, false));
    }
    FATHOM_RETURN_IF_ERROR(check_nothing_left());
    return std::move(out_);
  }

 private:
  Result<const Tensor*> find(int64_t rank, const std::string& name,
                             const std::vector<int64_t>& shape) {
    const Rank& shard = ranks_[static_cast<size_t>(rank)];
    const auto found = shard.tensors.find(name);
    if (found == shard.tensors.end()) {
      return invalid_error("tensor ", name, " of shape ", str_list(shape), " is missing from ",
                           shard.file);
    }
    if (found->second.shape != shape) {
      return invalid_error("tensor ", name, " (", shard.file, "): expected ", str_list(shape),
                           " from the config, file has ", str_list(found->second.shape),
                           "; is the config from the same model?");
    }
    used_.insert(&found->second);
    return &found->second;
  }

  // From every rank, of one dtype.
  Result<std::vector<const Tensor*>> parts(const std::string& name,
                                           const std::vector<int64_t>& shape) {
    std::vector<const Tensor*> out;
    for (int64_t rank = 0; rank < n_; ++rank) {
      FATHOM_TRY(const Tensor* part, find(rank, name, shape));
      if (rank > 0 && part->dtype != out.front()->dtype) {
        return invalid_error("tensor ", name, " is ", dtype_name(out.front()->dtype), " in ",
                             ranks_.front().file, " but ", dtype_name(part->dtype), " in ",
                             ranks_[static_cast<size_t>(rank)].file);
      }
      out.push_back(part);
    }
    return out;
  }

  Status add(const std::string& name, std::vector<int64_t> shape, bool fp8) {
    const std::optional<DemoTensor> demo = demo_tensor(name);
    FATHOM_CHECK(demo.has_value(), name);
    std::vector<int64_t> part_shape = shape;
    const bool rows = demo->split == DemoSplit::kRows;
    if (rows || demo->split == DemoSplit::kColumns) {
      int64_t& extent = part_shape[rows ? 0 : 1];
      if (extent % n_ != 0) {
        return invalid_error("tensor ", demo->name, ": ", extent, rows ? " rows" : " columns",
                             " cannot come from ", n_,
                             " files; is the config from the same model?");
      }
      extent /= n_;
    }
    std::vector<const Tensor*> found;
    if (demo->split == DemoSplit::kExpert) {
      FATHOM_TRY(const Tensor* part,
                 find(demo->expert / (config_.n_routed_experts / n_), demo->name, part_shape));
      found.push_back(part);
    } else {
      FATHOM_TRY(found, parts(demo->name, part_shape));
    }
    const Dtype dtype = found.front()->dtype;
    if (fp8 != (dtype == Dtype::kF8E4M3)) {
      return invalid_error("tensor ", demo->name, " (", ranks_.front().file, ") is ",
                           dtype_name(dtype), ", but the config ",
                           fp8 ? "asks for FP8" : "does not ask for FP8 there");
    }
    FATHOM_TRY(TensorSource source, join_parts(*demo, found));
    out_.push_back({{name, dtype, std::move(shape)}, std::move(source)});
    return {};
  }

  Result<TensorSource> join_parts(const DemoTensor& demo, const std::vector<const Tensor*>& found) {
    const Tensor& first = *found.front();
    switch (demo.split) {
      case DemoSplit::kExpert:
        break;
      case DemoSplit::kWhole:
        for (size_t rank = 1; rank < found.size(); ++rank) {
          const bool same =
              std::memcmp(first.data, found[rank]->data, static_cast<size_t>(first.bytes())) == 0;
          release_pages(found[rank]->data, first.bytes());
          if (!same) {
            return invalid_error("tensor ", demo.name, " differs between ", ranks_.front().file,
                                 " and ", ranks_[rank].file,
                                 ", which should hold the same; are they of one conversion?");
          }
        }
        release_pages(first.data, first.bytes());
        break;
      case DemoSplit::kRows: {
        std::vector<TensorSource> sources;
        for (const Tensor* part : found) sources.push_back(copy_of(part->data, part->bytes()));
        return one_after_another(std::move(sources));
      }
      case DemoSplit::kColumns: {
        std::vector<RowPart> row;
        const int64_t bytes = first.shape[1] * dtype_size(first.dtype);
        for (const Tensor* part : found) row.push_back({part->as<std::byte>(), bytes, bytes});
        *scratch_bytes_min_ = std::max(*scratch_bytes_min_, bytes * n_);
        return rows_side_by_side(std::move(row), first.shape[0]);
      }
    }
    return copy_of(first.data, first.bytes());
  }

  Status check_nothing_left() const {
    for (const Rank& shard : ranks_) {
      for (const auto& [name, tensor] : shard.tensors) {
        if (used_.count(&tensor) != 0) continue;
        return invalid_error("tensor ", printable(name), " (", shard.file,
                             ") belongs to no part of the model that the "
                             "config describes");
      }
    }
    return {};
  }

  const std::vector<Rank>& ranks_;
  const int64_t n_;
  const ModelConfig& config_;
  int64_t* scratch_bytes_min_;
  std::vector<OutputTensor> out_;
  std::unordered_set<const Tensor*> used_;
};

Result<std::vector<OutputTensor>> DemoShards::published_tensors(const ModelConfig& config,
                                                                int64_t* scratch_bytes_min) const {
  if (config.tie_word_embeddings) {
    return invalid_error(
        "the config ties embedding and head (tie_word_embeddings), which the demo's files cannot "
        "say");
  }
  return Joiner(*this, config, scratch_bytes_min).join();
}

}  // namespace fathom
