#include "engine/step_cost.h"

#include <algorithm>

#include "base/math.h"

namespace fathom {

namespace {

int64_t bytes_of(const LinearWeight& w) {
  const int64_t scales = w.scale_inv == nullptr ? 0 : ceil_div(w.n, 128) * ceil_div(w.k, 128);
  return matrix_bytes(w.dtype, w.n, w.k) + scales * static_cast<int64_t>(sizeof(float));
}
int64_t bytes_of(const std::vector<float>& v) {
  return static_cast<int64_t>(v.size() * sizeof(float));
}
int64_t bytes_of(const MlpWeights& w) {
  return bytes_of(w.gate_proj) + bytes_of(w.up_proj) + bytes_of(w.down_proj);
}
int64_t bytes_of(const AttentionWeights& w) {
  return bytes_of(w.q_proj) + bytes_of(w.q_a_proj) + bytes_of(w.q_a_layernorm) +
         bytes_of(w.q_b_proj) + bytes_of(w.kv_a_proj_with_mqa) + bytes_of(w.kv_a_layernorm) +
         bytes_of(w.kv_b_proj) + bytes_of(w.o_proj);
}

int64_t macs_of(const LinearWeight& w) { return w.n * w.k; }
int64_t macs_of(const MlpWeights& w) {
  return macs_of(w.gate_proj) + macs_of(w.up_proj) + macs_of(w.down_proj);
}
int64_t macs_of(const AttentionWeights& w) {
  return macs_of(w.q_proj) + macs_of(w.q_a_proj) + macs_of(w.q_b_proj) +
         macs_of(w.kv_a_proj_with_mqa) + macs_of(w.kv_b_proj) + macs_of(w.o_proj);
}

// Multiplications of one query with one cached row, all heads of a layer.
int64_t pair_macs(const ModelConfig& c, bool absorbed) {
  return c.num_attention_heads *
         (absorbed ? 2 * c.kv_lora_rank + c.qk_rope_head_dim : c.qk_head_dim() + c.v_head_dim);
}

}  // namespace

StepCost::StepCost(const ModelConfig& config, const ModelWeights& weights,
                   const KvLayout& kv_layout)
    : config_(config),
      weights_(weights),
      kv_row_bytes_(kv_layout.row_bytes() * config.num_hidden_layers),
      seen_(static_cast<size_t>(config.n_routed_experts)) {
  for (const LayerWeights& layer : weights.layers) {
    dense_bytes_ += bytes_of(layer.input_layernorm) + bytes_of(layer.post_attention_layernorm) +
                    bytes_of(layer.self_attn);
    row_macs_ += macs_of(layer.self_attn);
    if (layer.is_moe) {
      const MoeWeights& moe = layer.moe;
      dense_bytes_ +=
          bytes_of(moe.gate) + bytes_of(moe.e_score_correction_bias) + bytes_of(moe.shared_experts);
      row_macs_ += macs_of(moe.gate) + macs_of(moe.shared_experts) +
                   config.num_experts_per_tok * macs_of(moe.experts.front());
    } else {
      dense_bytes_ += bytes_of(layer.mlp);
      row_macs_ += macs_of(layer.mlp);
    }
  }
  dense_bytes_ += bytes_of(weights.norm);
}

void StepCost::add_pass(const Batch& batch, int64_t n_logit_rows) {
  bytes_ += dense_bytes_;
  int64_t macs = 0;
  for (const BatchSequence& sequence : batch.sequences) {
    const int64_t n = static_cast<int64_t>(sequence.tokens.size());
    const int64_t end = sequence.first_position + n;
    bytes_ +=
        n * matrix_bytes(weights_.embed_tokens.dtype, 1, config_.hidden_size) + end * kv_row_bytes_;
    // Position p looks at p + 1 rows.
    const int64_t pairs = n * sequence.first_position + n * (n + 1) / 2;
    macs +=
        n * row_macs_ + pairs * pair_macs(config_, sequence.absorbed) * config_.num_hidden_layers;
  }
  if (n_logit_rows > 0) {
    bytes_ += bytes_of(weights_.lm_head);
    macs += n_logit_rows * macs_of(weights_.lm_head);
  }
  ops_ += 2 * macs;
}

void StepCost::on_router(int64_t layer, const int32_t* indices, const float*, int64_t n_rows) {
  if (layer >= config_.num_hidden_layers) return;
  const std::vector<MlpWeights>& experts = weights_.layers[static_cast<size_t>(layer)].moe.experts;
  std::fill(seen_.begin(), seen_.end(), uint8_t{0});
  for (int64_t i = 0; i < n_rows * config_.num_experts_per_tok; ++i) {
    const size_t expert = static_cast<size_t>(indices[i]);
    if (seen_[expert] != 0) continue;
    seen_[expert] = 1;
    bytes_ += bytes_of(experts[expert]);
    ++experts_;
  }
}

}  // namespace fathom
