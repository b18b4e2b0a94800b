#include <algorithm>

#include "model/backward.h"

namespace fathom {

BackwardWorkspace::BackwardWorkspace(const ModelConfig& config, TrainingPrecision precision,
                                     const AttentionShape& shape, const TapeLimits& limits,
                                     int n_threads) {
  const int64_t rows = limits.max_rows(), hidden_size = config.hidden_size;
  const int64_t slots = config.n_routed_experts > 0 ? rows * config.num_experts_per_tok : 0;
  const int64_t heads = config.num_attention_heads;
  const int64_t q_width = heads * config.qk_head_dim();
  const int64_t kv_width = heads * (config.qk_nope_head_dim + config.v_head_dim);
  const int64_t o_width = heads * config.v_head_dim;
  const int64_t dense =
      config.first_k_dense_replace > 0 || slots == 0 ? config.intermediate_size : 0;
  const int64_t mlp_width = std::max(dense, config.n_shared_experts * config.moe_intermediate_size);
  const int64_t mlp_size = std::max(rows * mlp_width, slots * config.moe_intermediate_size);

  h = Buffer<float>(rows * hidden_size);
  d_h = Buffer<float>(rows * hidden_size);
  d_part = Buffer<float>(rows * hidden_size);
  q_a = Buffer<float>(rows * config.q_lora_rank);
  d_q_a = Buffer<float>(rows * config.q_lora_rank);
  q = Buffer<float>(rows * q_width);
  d_q = Buffer<float>(rows * q_width);
  latent = Buffer<float>(rows * config.kv_lora_rank);
  d_latent = Buffer<float>(rows * config.kv_lora_rank);
  k_rope = Buffer<float>(rows * config.qk_rope_head_dim);
  d_k_rope = Buffer<float>(rows * config.qk_rope_head_dim);
  d_kv_a = Buffer<float>(rows * config.kv_row_size());
  kv = Buffer<float>(rows * kv_width);
  d_kv = Buffer<float>(rows * kv_width);
  o = Buffer<float>(rows * o_width);
  d_o = Buffer<float>(rows * o_width);
  gate = Buffer<float>(mlp_size);
  up = Buffer<float>(mlp_size);
  mlp_h = Buffer<float>(mlp_size);
  d_mlp_h = Buffer<float>(mlp_size);
  d_slots = Buffer<float>(slots * hidden_size);
  d_slots_up = Buffer<float>(slots * hidden_size);
  d_expert_weights = Buffer<float>(slots);
  d_logits = Buffer<float>(rows * config.n_routed_experts);
  slot_ids = Buffer<int32_t>(slots);
  for (int64_t i = 0; i < slots; ++i) slot_ids[i] = static_cast<int32_t>(i);
  jobs = Buffer<LinearJob>(config.n_routed_experts);
  wgrad_jobs.reserve(static_cast<size_t>(config.n_routed_experts));
  attention_jobs.reserve(static_cast<size_t>(limits.max_sequences));
  const int64_t widest = std::max({hidden_size, config.q_lora_rank, q_width, kv_width, o_width,
                                   config.kv_row_size(), mlp_width});
  input = LinearInput(rows, widest);
  slot_input = LinearInput(slots, config.moe_intermediate_size);
  if (precision == TrainingPrecision::kFp8) {
    saved = SavedRows(SavedFormat::kFp8, rows, std::max(hidden_size, config.q_lora_rank));
    saved_mlp = SavedRows(SavedFormat::kFp8, rows, mlp_width);
    saved_slots = SavedRows(SavedFormat::kFp8, slots, config.moe_intermediate_size);
  }
  wgrad = WgradWorkspace(n_threads);
  norm = NormBackwardWorkspace(rows, widest);
  attention = AttentionBackwardWorkspace(shape, rows, limits.sequence_length, n_threads);
}

}  // namespace fathom
