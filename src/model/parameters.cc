#include "model/parameters.h"

#include <algorithm>
#include <string_view>

#include "base/math.h"
#include "model/weights.h"
#include "model/weights_check.h"

namespace fathom {

namespace {

int64_t elements(const std::vector<int64_t>& shape) {
  int64_t n = 1;
  for (const int64_t extent : shape) n *= extent;
  return n;
}

// Which part a tensor belongs to, by its name after the layer's prefix.
std::string_view part_of(std::string_view name) {
  const auto has = [&](std::string_view text) { return name.find(text) != std::string_view::npos; };
  if (has("shared_head.head")) return "copy of the head";
  if (has("layers.") && has("embed_tokens")) return "copy of the embedding";
  if (has("embed_tokens")) return "embedding";
  if (name == "lm_head.weight") return "head";
  if (name == "model.norm.weight") return "final norm";
  if (has(".q_proj") || has(".q_a_") || has(".q_b_")) return "q path";
  if (has(".kv_a_") || has(".kv_b_")) return "kv path";
  if (has(".o_proj")) return "attention output";
  if (has(".mlp.experts.")) return "routed experts";
  if (has(".mlp.shared_experts.")) return "shared experts";
  if (has(".mlp.gate.")) return "router";
  if (has(".mlp.")) return "dense MLP";
  if (has("eh_proj")) return "eh_proj";
  return "norms";
}

// Where the instance of a part ends in a tensor's name: an expert is one, a layer is one.
std::string_view instance_of(std::string_view name) {
  constexpr std::string_view kExperts = ".mlp.experts.";
  const size_t experts = name.find(kExperts);
  if (experts != std::string_view::npos)
    return name.substr(0, name.find('.', experts + kExperts.size()));
  constexpr std::string_view kLayers = "model.layers.";
  return name.starts_with(kLayers) ? name.substr(0, name.find('.', kLayers.size())) : name;
}

std::string product(const std::vector<int64_t>& shape) {
  std::string out;
  for (const int64_t extent : shape) str_append(out, out.empty() ? "" : "*", extent);
  return out;
}

class Counter {
 public:
  explicit Counter(const ModelConfig& config) : config_(config) {}

  ParameterCount count() {
    const std::vector<ExpectedTensor> tensors = expected_tensors(config_);
    const std::string first_mtp = layer_prefix(config_.num_hidden_layers);
    bool mtp = false;
    for (const ExpectedTensor& tensor : tensors) {
      if (tensor.name == "lm_head.weight" && config_.tie_word_embeddings) continue;
      mtp = mtp || tensor.name.starts_with(first_mtp);  // the modules stand last
      add(tensor, mtp);
    }
    for (ParameterItem& item : out_.items) finish(item);
    return std::move(out_);
  }

 private:
  void add(const ExpectedTensor& tensor, bool mtp) {
    const std::string_view part = part_of(tensor.name);
    const std::string_view instance = instance_of(tensor.name);
    const auto same = [&](const ParameterItem& item) {
      return item.mtp == mtp && item.name == part;
    };
    auto item = std::find_if(out_.items.begin(), out_.items.end(), same);
    if (item == out_.items.end()) {
      out_.items.push_back(
          {.name = std::string(part), .terms = {}, .mtp = mtp, .copy = tensor.optional});
      first_.emplace_back(instance);
      last_.emplace_back();
      item = out_.items.end() - 1;
    }
    const auto index = static_cast<size_t>(item - out_.items.begin());
    const int64_t n = elements(tensor.shape);
    item->total += n;
    if (last_[index] != instance) {
      last_[index] = instance;
      ++item->count;
    }
    if (first_[index] == instance) {
      item->one += n;
      str_append(item->terms, item->terms.empty() ? "" : " + ", product(tensor.shape));
    }
  }

  void finish(ParameterItem& item) {
    item.activated = item.name == "routed experts"
                         ? item.total / config_.n_routed_experts * config_.num_experts_per_tok
                         : item.total;
    if (item.mtp) {
      out_.mtp_stored += item.total;
      if (!item.copy) out_.mtp_unique += item.total;
      return;
    }
    out_.total += item.total;
    out_.activated += item.activated;
    const bool looked_up = item.name == "embedding" && !config_.tie_word_embeddings;
    if (!looked_up) out_.activated_without_embedding += item.activated;
  }

  const ModelConfig& config_;
  ParameterCount out_;
  std::vector<std::string> first_;  // the instance that an item's terms describe
  std::vector<std::string> last_;   // the instance that was counted last
};

Dtype unquantised_dtype(const ModelConfig& config, WeightPrecision precision) {
  if (precision == WeightPrecision::kF32) return Dtype::kF32;
  if (precision != WeightPrecision::kAsConfigured) return Dtype::kBF16;
  if (config.torch_dtype == "float32") return Dtype::kF32;
  return config.torch_dtype == "float16" ? Dtype::kF16 : Dtype::kBF16;
}

}  // namespace

ParameterCount count_parameters(const ModelConfig& config) { return Counter(config).count(); }

std::vector<TensorSpec> stored_tensors(const ModelConfig& config, WeightPrecision precision) {
  const bool as_configured = precision == WeightPrecision::kAsConfigured;
  const bool fp8 = precision == WeightPrecision::kFp8 ||
                   (as_configured && config.quantization_config.has_value());
  const Dtype rest = unquantised_dtype(config, precision);
  std::vector<TensorSpec> out;
  for (ExpectedTensor& tensor : expected_tensors(config)) {
    if (tensor.name == "lm_head.weight" && config.tie_word_embeddings) continue;
    const std::optional<Dtype> packed = as_configured && config.packed_formats
                                            ? config.packed_formats->of_tensor(tensor.name)
                                            : std::nullopt;
    if (packed) {
      out.push_back({std::move(tensor.name), *packed, std::move(tensor.shape)});
      continue;
    }
    if (tensor.quantised && fp8) {
      const std::vector<int64_t> grid = {ceil_div(tensor.shape[0], 128),
                                         ceil_div(tensor.shape[1], 128)};
      std::string scale = scale_name(tensor.name);
      out.push_back({std::move(tensor.name), Dtype::kF8E4M3, std::move(tensor.shape)});
      out.push_back({std::move(scale), Dtype::kF32, grid});
      continue;
    }
    const bool bias = tensor.name.ends_with("e_score_correction_bias");
    out.push_back({std::move(tensor.name), bias ? Dtype::kF32 : rest, std::move(tensor.shape)});
  }
  return out;
}

std::vector<TensorSpec> stored_tensors_once(const ModelConfig& config, WeightPrecision precision) {
  std::vector<TensorSpec> tensors = stored_tensors(config, precision);
  std::erase_if(tensors, [](const TensorSpec& spec) {
    return spec.name.starts_with("model.layers.") &&
           (spec.name.ends_with(".embed_tokens.weight") ||
            spec.name.ends_with(".shared_head.head.weight"));
  });
  return tensors;
}

ByteCount count_bytes(const std::vector<TensorSpec>& tensors) {
  ByteCount out;
  for (const TensorSpec& tensor : tensors) {
    const int64_t bytes = Tensor{tensor.dtype, tensor.shape, nullptr}.bytes();
    out.total += bytes;
    const auto same = [&](const auto& entry) { return entry.first == tensor.dtype; };
    const auto entry = std::find_if(out.by_dtype.begin(), out.by_dtype.end(), same);
    if (entry == out.by_dtype.end()) {
      out.by_dtype.emplace_back(tensor.dtype, bytes);
    } else {
      entry->second += bytes;
    }
  }
  std::stable_sort(out.by_dtype.begin(), out.by_dtype.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  return out;
}

int64_t kv_bytes_per_token(const ModelConfig& config, KvDtype dtype) {
  // As KvLayout::row_bytes(): values, the scales of FP8 latents, rounded up to a multiple of 4.
  int64_t row = 0;
  switch (dtype) {
    case KvDtype::kF32:
      row = config.kv_row_size() * 4;
      break;
    case KvDtype::kBf16:
      row = config.kv_row_size() * 2;
      break;
    case KvDtype::kFp8:
      row = config.kv_lora_rank + ceil_div(config.kv_lora_rank, 128) * 4 +
            config.qk_rope_head_dim * 2;
      break;
  }
  return round_up(row, 4) * config.num_hidden_layers;
}

}  // namespace fathom
