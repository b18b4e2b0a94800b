#include "model/trained_weights.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/math.h"
#include "base/mix64.h"
#include "io/printable.h"
#include "kernels/math.h"
#include "kernels/trained_layouts.h"
#include "model/matrix_rows.h"
#include "model/parameters.h"
#include "model/tensor_values.h"
#include "model/weights_check.h"

namespace fathom {
namespace {

constexpr const char* kEmbedding = "model.embed_tokens.weight";
constexpr int64_t kTaskValues = int64_t{1} << 16;

bool is_bias(const std::string& name) { return name.ends_with("e_score_correction_bias"); }
bool is_scale(const std::string& name) { return name.ends_with("_scale_inv"); }

// Normal(0, std), a function of seed, name and position: pairs by the method of Box and Muller.
void fill_normal(const Compute& compute, uint64_t seed, const std::string& name, double std,
                 float* out, int64_t n) {
  const uint64_t key = mix64_key(seed, name);
  const auto uniform = [key](int64_t i) {  // in (0, 1]
    return static_cast<double>((mix64(key + static_cast<uint64_t>(i)) >> 11) + 1) * 0x1p-53;
  };
  compute.pool->parallel_for(ceil_div(n, kTaskValues), [&](int64_t task, int) {
    const int64_t end = std::min(n, (task + 1) * kTaskValues);
    for (int64_t i = task * kTaskValues; i < end; i += 2) {
      const double radius = std * std::sqrt(-2 * log_f64(uniform(i)));
      double sin = 0, cos = 0;
      sin_cos_f64(2 * std::numbers::pi * uniform(i + 1), &sin, &cos);
      out[i] = static_cast<float>(radius * cos);
      if (i + 1 < end) out[i + 1] = static_cast<float>(radius * sin);
    }
  });
}

// A tensor of a checkpoint as F32, whatever it is stored as.
Status read_values(const Compute& compute, const Checkpoint& checkpoint, const std::string& name,
                   const std::vector<int64_t>& shape, float* out) {
  const Tensor* found = checkpoint.find(name);
  if (found == nullptr)
    return invalid_error("training cannot start from this checkpoint: it has no tensor ",
                         printable(name));
  if (found->shape != shape)
    return invalid_error("tensor ", printable(name), " (", checkpoint.file_of(name),
                         ") has another shape than the run's model");
  if (shape.size() != 2) {
    if (!is_float_dtype(found->dtype))
      return invalid_error("tensor ", printable(name), " (", checkpoint.file_of(name), ") is ",
                           dtype_name(found->dtype), ", expected F32, F16 or BF16");
    for (int64_t i = 0; i < found->elements(); ++i) out[i] = value_at(*found, i);
    return {};
  }
  const Tensor* scales = checkpoint.find(scale_name(name));
  if (found->dtype == Dtype::kF8E4M3 && scales == nullptr)
    return invalid_error("tensor ", printable(name), " (", checkpoint.file_of(name),
                         ") is FP8 without scales");
  const MatrixRows rows(*found, scales);
  compute.pool->parallel_for(rows.n_panels(), [&](int64_t panel, int) {
    rows.read(panel, out + panel * kPackedRows * rows.k(), rows.k());
  });
  return {};
}

}  // namespace

Result<std::unique_ptr<TrainedWeights>> TrainedWeights::create(const ModelConfig& config,
                                                               const InitialWeights& initial,
                                                               Compute compute) {
  std::unique_ptr<TrainedWeights> out(new TrainedWeights(config, compute));
  out->lay_out();
  out->make_stored();
  FATHOM_RETURN_IF_ERROR(out->fill(initial));
  out->make_gradients();
  out->refresh();
  return out;
}

// Masters and gradients: tensors by name, each from a multiple of a cache line.
void TrainedWeights::lay_out() {
  for (const TensorSpec& spec : stored_tensors_once(config_, WeightPrecision::kF32)) {
    if (is_bias(spec.name)) continue;
    tensors_.push_back({.name = spec.name,
                        .shape = spec.shape,
                        .size = Tensor{spec.dtype, spec.shape, nullptr}.elements(),
                        .decay = spec.shape.size() == 2});
  }
  std::sort(tensors_.begin(), tensors_.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  int64_t end = 0;
  for (TrainedTensor& tensor : tensors_) {
    tensor.offset = end;
    end = round_up(end + tensor.size, kBufferAlignment / static_cast<int64_t>(sizeof(float)));
  }
  values_ = Buffer<float>(end);
  gradients_ = Buffer<float>(end);
}

// The tensors as config stores them, in one piece of memory, each followed by its transpose.
void TrainedWeights::make_stored() {
  const auto transposed = [this](const TensorSpec& spec) {
    const bool looked_up = spec.name == kEmbedding && !config_.tie_word_embeddings;
    return spec.shape.size() == 2 && !looked_up && !is_scale(spec.name);
  };
  const std::vector<TensorSpec> specs =
      stored_tensors_once(config_, WeightPrecision::kAsConfigured);
  const auto bytes_of = [](const TensorSpec& spec) {
    return round_up(Tensor{spec.dtype, spec.shape, nullptr}.bytes(), kBufferAlignment);
  };
  int64_t total = 0;
  for (const TensorSpec& spec : specs)
    total += bytes_of(spec) * (transposed(spec) || is_scale(spec.name) ? 2 : 1);
  memory_ = Buffer<std::byte>(total);
  std::byte* next = memory_.data();
  const auto take = [&next, &bytes_of](const TensorSpec& spec) {
    std::byte* const at = next;
    next += bytes_of(spec);
    return at;
  };
  std::vector<NamedTensor> tensors;
  std::vector<std::pair<std::string, std::span<float>>> biases;
  for (const TensorSpec& spec : specs) {
    if (is_scale(spec.name)) {  // follows its weight
      Stored& weight = stored_.back();
      weight.scales = reinterpret_cast<float*>(take(spec));
      weight.transposed.scale_inv = reinterpret_cast<float*>(take(spec));
      tensors.push_back({spec.name, {spec.dtype, spec.shape, weight.scales}});
      continue;
    }
    if (is_bias(spec.name)) {
      auto* const values = reinterpret_cast<float*>(take(spec));
      biases_.emplace_back(values, static_cast<size_t>(spec.shape[0]));
      tensors.push_back({spec.name, {spec.dtype, spec.shape, values}});
      continue;
    }
    Stored stored;
    stored.master = std::lower_bound(
        tensors_.data(), tensors_.data() + tensors_.size(), spec.name,
        [](const TrainedTensor& tensor, const std::string& name) { return tensor.name < name; });
    void* const data = spec.dtype == Dtype::kF32
                           ? static_cast<void*>(values_.data() + stored.master->offset)
                           : take(spec);
    stored.tensor = {spec.dtype, spec.shape, data};
    tensors.push_back({spec.name, stored.tensor});
    if (transposed(spec)) {
      stored.transposed.dtype = spec.dtype;
      stored.transposed.n = spec.shape[1];
      stored.transposed.k = spec.shape[0];
      stored.transposed.data = take(spec);
    }
    stored_index_[spec.name] = stored_.size();
    stored_.push_back(stored);
  }
  checkpoint_ = std::make_shared<Checkpoint>(
      Checkpoint::from_tensors("the model in training", std::move(tensors), nullptr));
}

Status TrainedWeights::fill(const InitialWeights& initial) {
  for (const TrainedTensor& tensor : tensors_) {
    float* const out = values_.data() + tensor.offset;
    if (initial.checkpoint != nullptr) {
      FATHOM_RETURN_IF_ERROR(
          read_values(compute_, *initial.checkpoint, tensor.name, tensor.shape, out));
    } else if (tensor.decay) {
      fill_normal(compute_, initial.seed, tensor.name, initial.init_std, out, tensor.size);
    } else {
      std::fill_n(out, tensor.size, 1.0f);
    }
  }
  if (initial.checkpoint == nullptr) return {};
  for (const CheckpointTensor& entry : checkpoint_->tensors()) {
    if (!is_bias(entry.name)) continue;
    auto* const out = static_cast<float*>(const_cast<void*>(entry.tensor.data));  // memory_
    FATHOM_RETURN_IF_ERROR(
        read_values(compute_, *initial.checkpoint, entry.name, entry.tensor.shape, out));
  }
  return {};
}

void TrainedWeights::store(const Stored& stored) {
  const float* const values = values_.data() + stored.master->offset;
  void* const out = const_cast<void*>(stored.tensor.data);  // memory_
  const LinearWeight& t = stored.transposed;
  switch (stored.tensor.dtype) {
    case Dtype::kF8E4M3: {
      const bool ue8m0 = config_.quantization_config->ue8m0;
      auto* const codes = static_cast<uint8_t*>(out);
      quantize_blocks(compute_, values, t.k, t.n, ue8m0, codes, stored.scales);
      transpose(compute_, codes, t.k, t.n, static_cast<uint8_t*>(const_cast<void*>(t.data)));
      transpose(compute_, stored.scales, ceil_div(t.k, int64_t{128}), ceil_div(t.n, int64_t{128}),
                const_cast<float*>(t.scale_inv));
      break;
    }
    case Dtype::kBF16: {
      auto* const halves = static_cast<uint16_t*>(out);
      round_bf16(compute_, values, halves, stored.master->size);
      if (!t.empty())
        transpose(compute_, halves, t.k, t.n, static_cast<uint16_t*>(const_cast<void*>(t.data)));
      break;
    }
    default:
      if (!t.empty())
        transpose(compute_, values, t.k, t.n, static_cast<float*>(const_cast<void*>(t.data)));
      break;
  }
}

void TrainedWeights::refresh() {
  for (const Stored& stored : stored_) store(stored);
  Result<ModelWeights> loaded = load_weights(config_, checkpoint_, {.verify_bytes_max = 0});
  FATHOM_CHECK(loaded.ok(), "the model in training: ", loaded.error().message);
  weights_ = std::move(*loaded);
}

float* TrainedWeights::gradient(const std::string& name) {
  const auto found = stored_index_.find(name);
  FATHOM_CHECK(found != stored_index_.end(), "no tensor ", name);
  return gradients_.data() + stored_[found->second].master->offset;
}

LinearGradient TrainedWeights::linear_gradient(const std::string& name) {
  float* const out = gradient(name);
  return {stored_[stored_index_[name]].transposed, out};
}

AttentionGradients TrainedWeights::attention_gradients(const std::string& prefix) {
  AttentionGradients out;
  if (config_.has_q_lora()) {
    out.q_a_proj = linear_gradient(prefix + "q_a_proj.weight");
    out.q_a_layernorm = gradient(prefix + "q_a_layernorm.weight");
    out.q_b_proj = linear_gradient(prefix + "q_b_proj.weight");
  } else {
    out.q_proj = linear_gradient(prefix + "q_proj.weight");
  }
  out.kv_a_proj_with_mqa = linear_gradient(prefix + "kv_a_proj_with_mqa.weight");
  out.kv_a_layernorm = gradient(prefix + "kv_a_layernorm.weight");
  out.kv_b_proj = linear_gradient(prefix + "kv_b_proj.weight");
  out.o_proj = linear_gradient(prefix + "o_proj.weight");
  return out;
}

MlpGradients TrainedWeights::mlp_gradients(const std::string& prefix) {
  return {linear_gradient(prefix + "gate_proj.weight"), linear_gradient(prefix + "up_proj.weight"),
          linear_gradient(prefix + "down_proj.weight")};
}

LayerGradients TrainedWeights::layer_gradients(int64_t layer_idx) {
  const std::string prefix = layer_prefix(layer_idx);
  LayerGradients out;
  out.input_layernorm = gradient(prefix + "input_layernorm.weight");
  out.post_attention_layernorm = gradient(prefix + "post_attention_layernorm.weight");
  out.self_attn = attention_gradients(prefix + "self_attn.");
  if (!config_.is_moe_layer(layer_idx)) {
    out.mlp = mlp_gradients(prefix + "mlp.");
    return out;
  }
  out.moe.gate = linear_gradient(prefix + "mlp.gate.weight");
  for (int64_t e = 0; e < config_.n_routed_experts; ++e)
    out.moe.experts.push_back(mlp_gradients(str_cat(prefix, "mlp.experts.", e, ".")));
  if (config_.n_shared_experts > 0)
    out.moe.shared_experts = mlp_gradients(prefix + "mlp.shared_experts.");
  return out;
}

void TrainedWeights::make_gradients() {
  ModelGradients& out = model_gradients_;
  out.embed_tokens = gradient(kEmbedding);
  for (int64_t i = 0; i < config_.num_hidden_layers; ++i) out.layers.push_back(layer_gradients(i));
  out.norm = gradient("model.norm.weight");
  out.lm_head = linear_gradient(config_.tie_word_embeddings ? kEmbedding : "lm_head.weight");
  for (int64_t k = 0; k < config_.num_nextn_predict_layers; ++k) {
    const std::string prefix = layer_prefix(config_.num_hidden_layers + k);
    MtpGradients mtp;
    mtp.enorm = gradient(prefix + "enorm.weight");
    mtp.hnorm = gradient(prefix + "hnorm.weight");
    mtp.eh_proj = linear_gradient(prefix + "eh_proj.weight");
    mtp.layer = layer_gradients(config_.num_hidden_layers + k);
    mtp.shared_head_norm = gradient(prefix + "shared_head.norm.weight");
    out.mtp.push_back(std::move(mtp));
  }
}

}  // namespace fathom
