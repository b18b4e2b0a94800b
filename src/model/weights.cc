#include "model/weights.h"

#include <utility>

#include "base/math.h"
#include "model/tensor_values.h"
#include "model/weights_check.h"

namespace fathom {

namespace {

// Makes views of a checkpoint that check_tensors() has accepted.
class Assembler {
 public:
  Assembler(const ModelConfig& config, const Checkpoint& checkpoint)
      : config_(config), checkpoint_(checkpoint), scales_(scales_size(checkpoint)) {}

  ModelWeights assemble(int64_t n_mtp) {
    ModelWeights out;
    out.embed_tokens = linear("model.embed_tokens.weight");
    for (int64_t layer_idx = 0; layer_idx < config_.num_hidden_layers; ++layer_idx) {
      out.layers.push_back(layer(layer_idx));
    }
    out.norm = vector("model.norm.weight");
    out.lm_head = config_.tie_word_embeddings ? out.embed_tokens : linear("lm_head.weight");
    for (int64_t k = 0; k < n_mtp; ++k) out.mtp.push_back(mtp(config_.num_hidden_layers + k));
    out.scales.push_back(std::move(scales_));
    return out;
  }

 private:
  static constexpr int64_t kScaleAlignment = kBufferAlignment / static_cast<int64_t>(sizeof(float));

  static int64_t scales_size(const Checkpoint& checkpoint) {
    int64_t size = 0;
    for (const CheckpointTensor& entry : checkpoint.tensors()) {
      if (entry.name.ends_with("_scale_inv"))
        size += round_up(entry.tensor.elements(), kScaleAlignment);
    }
    return size;
  }

  const Tensor& tensor(const std::string& name) const {
    const Tensor* found = checkpoint_.find(name);
    FATHOM_CHECK(found != nullptr, "no tensor ", name, " after the check");
    return *found;
  }

  std::vector<float> vector(const std::string& name) const {
    const Tensor& t = tensor(name);
    std::vector<float> values(static_cast<size_t>(t.elements()));
    for (size_t i = 0; i < values.size(); ++i) values[i] = value_at(t, static_cast<int64_t>(i));
    return values;
  }

  LinearWeight linear(const std::string& name) {
    const Tensor& t = tensor(name);
    LinearWeight w;
    w.dtype = t.dtype;
    w.n = t.shape[0];
    w.k = t.shape[1];
    w.data = t.data;
    if (t.dtype == Dtype::kF8E4M3) {
      const Tensor& scale = tensor(scale_name(name));
      float* out = scales_.data() + scales_used_;
      for (int64_t i = 0; i < scale.elements(); ++i) out[i] = value_at(scale, i);
      w.scale_inv = out;
      scales_used_ += round_up(scale.elements(), kScaleAlignment);
    }
    return w;
  }
  // A layer that may be split over ranks along k (docs/numerics.md 3).
  LinearWeight segmented(const std::string& name) {
    LinearWeight w = linear(name);
    w.n_segments = w.k % 1024 == 0 ? 8 : 1;
    return w;
  }

  AttentionWeights attention(const std::string& prefix) {
    AttentionWeights a;
    if (config_.has_q_lora()) {
      a.q_a_proj = linear(prefix + "q_a_proj.weight");
      a.q_a_layernorm = vector(prefix + "q_a_layernorm.weight");
      a.q_b_proj = linear(prefix + "q_b_proj.weight");
    } else {
      a.q_proj = linear(prefix + "q_proj.weight");
    }
    a.kv_a_proj_with_mqa = linear(prefix + "kv_a_proj_with_mqa.weight");
    a.kv_a_layernorm = vector(prefix + "kv_a_layernorm.weight");
    a.kv_b_proj = linear(prefix + "kv_b_proj.weight");
    a.o_proj = segmented(prefix + "o_proj.weight");
    return a;
  }

  // A routed expert is never split.
  MlpWeights mlp(const std::string& prefix, bool routed) {
    MlpWeights m;
    m.gate_proj = linear(prefix + "gate_proj.weight");
    m.up_proj = linear(prefix + "up_proj.weight");
    m.down_proj =
        routed ? linear(prefix + "down_proj.weight") : segmented(prefix + "down_proj.weight");
    return m;
  }

  MoeWeights moe(const std::string& prefix) {
    MoeWeights m;
    m.gate = linear(prefix + "gate.weight");
    if (config_.has_router_bias())
      m.e_score_correction_bias = vector(prefix + "gate.e_score_correction_bias");
    for (int64_t expert = 0; expert < config_.n_routed_experts; ++expert) {
      m.experts.push_back(mlp(str_cat(prefix, "experts.", expert, "."), /*routed=*/true));
    }
    if (config_.n_shared_experts > 0)
      m.shared_experts = mlp(prefix + "shared_experts.", /*routed=*/false);
    return m;
  }

  LayerWeights layer(int64_t layer_idx) {
    const std::string prefix = layer_prefix(layer_idx);
    LayerWeights l;
    l.input_layernorm = vector(prefix + "input_layernorm.weight");
    l.post_attention_layernorm = vector(prefix + "post_attention_layernorm.weight");
    l.self_attn = attention(prefix + "self_attn.");
    l.is_moe = config_.is_moe_layer(layer_idx);
    if (l.is_moe) {
      l.moe = moe(prefix + "mlp.");
    } else {
      l.mlp = mlp(prefix + "mlp.", /*routed=*/false);
    }
    return l;
  }

  MtpWeights mtp(int64_t layer_idx) {
    const std::string prefix = layer_prefix(layer_idx);
    MtpWeights m;
    m.enorm = vector(prefix + "enorm.weight");
    m.hnorm = vector(prefix + "hnorm.weight");
    m.eh_proj = linear(prefix + "eh_proj.weight");
    m.layer = layer(layer_idx);
    m.shared_head_norm = vector(prefix + "shared_head.norm.weight");
    return m;
  }

  const ModelConfig& config_;
  const Checkpoint& checkpoint_;
  Buffer<float> scales_;  // of all FP8 weights, each aligned
  int64_t scales_used_ = 0;
};

}  // namespace

Result<ModelWeights> load_weights(const ModelConfig& config,
                                  std::shared_ptr<const Checkpoint> checkpoint,
                                  const LoadOptions& options) {
  FATHOM_TRY(CheckedTensors checked, check_tensors(config, *checkpoint, options));
  ModelWeights weights = Assembler(config, *checkpoint).assemble(checked.n_mtp);
  weights.notes = std::move(checked.notes);
  weights.checkpoint = std::move(checkpoint);
  return weights;
}

}  // namespace fathom
