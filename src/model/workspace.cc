#include "model/workspace.h"

#include <algorithm>

namespace fathom {

namespace {
struct Widths {
  int64_t slots;  // expert rows of a step
  int64_t mlp;    // widest dense or shared MLP
  int64_t input;  // widest input of a layer outside the MLPs
};
Widths widths(const ModelConfig& config, const WorkspaceLimits& limits) {
  const bool has_moe = config.n_routed_experts > 0;
  return {
      .slots = has_moe ? limits.max_rows * config.num_experts_per_tok : 0,
      .mlp = std::max(config.first_k_dense_replace > 0 || !has_moe ? config.intermediate_size : 0,
                      config.n_shared_experts * config.moe_intermediate_size),
      .input = std::max({config.hidden_size * (config.num_nextn_predict_layers > 0 ? 2 : 1),
                         config.q_lora_rank, config.num_attention_heads * config.v_head_dim})};
}
}  // namespace

Workspace::Workspace(const ModelConfig& config, const KvLayout& kv,
                     const WorkspaceLimits& limits_in, int n_threads)
    : limits(limits_in) {
  const Widths width = widths(config, limits);
  const int64_t rows = limits.max_rows;
  const int64_t hidden_size = config.hidden_size;
  const int64_t heads = config.num_attention_heads;
  x = Buffer<float>(rows * hidden_size);
  normed = Buffer<float>(rows * hidden_size);
  out = Buffer<float>(rows * hidden_size);
  hidden = Buffer<float>(rows * hidden_size);
  q_a = Buffer<float>(rows * config.q_lora_rank);
  q = Buffer<float>(rows * heads * config.qk_head_dim());
  kv_a = Buffer<float>(rows * (config.kv_lora_rank + config.qk_rope_head_dim));
  o = Buffer<float>(rows * heads * config.v_head_dim);
  router_logits = Buffer<float>(rows * config.n_routed_experts);
  expert_ids = Buffer<int32_t>(width.slots);
  expert_weights = Buffer<float>(width.slots);
  slot_of = Buffer<int32_t>(width.slots);
  slot_token = Buffer<int32_t>(width.slots);
  slot_ids = Buffer<int32_t>(width.slots);
  for (int64_t i = 0; i < width.slots; ++i) slot_ids[i] = static_cast<int32_t>(i);
  expert_begin = Buffer<int32_t>(config.n_routed_experts + 1);
  chosen_experts = Buffer<int32_t>(config.n_routed_experts);
  ready_experts = Buffer<ReadyExpert>(config.n_routed_experts);
  mlp_h = Buffer<float>(rows * width.mlp);
  expert_h = Buffer<float>(width.slots * config.moe_intermediate_size);
  expert_out = Buffer<float>(width.slots * hidden_size);
  if (config.num_nextn_predict_layers > 0) concat = Buffer<float>(rows * 2 * hidden_size);
  head_in = Buffer<float>(limits.max_logit_rows * hidden_size);
  linear_jobs = Buffer<LinearJob>(config.n_routed_experts);
  glu_jobs = Buffer<GluJob>(config.n_routed_experts + 1);
  attention_jobs = Buffer<AttentionJob>(limits.max_sequences);
  row_position = Buffer<int64_t>(rows);
  row_sequence = Buffer<int32_t>(rows);
  input = LinearInput(std::max(rows, limits.max_logit_rows), width.input);
  mlp_input = LinearInput(rows, width.mlp);
  expert_input = LinearInput(width.slots, config.moe_intermediate_size);
  const AttentionShape shape = {.n_heads = heads,
                                .qk_nope_head_dim = config.qk_nope_head_dim,
                                .qk_rope_head_dim = config.qk_rope_head_dim,
                                .v_head_dim = config.v_head_dim,
                                .kv_lora_rank = config.kv_lora_rank,
                                .softmax_scale = 0};
  attention = AttentionWorkspace(shape, kv, rows, limits.max_context, n_threads);
}

int64_t Workspace::bytes(const ModelConfig& config, const WorkspaceLimits& limits) {
  const Widths width = widths(config, limits);
  const int64_t rows = limits.max_rows;
  const int64_t heads = config.num_attention_heads;
  const int64_t floats = rows * (4 * config.hidden_size + config.q_lora_rank +
                                 heads * (config.qk_head_dim() + config.v_head_dim) +
                                 config.kv_lora_rank + config.qk_rope_head_dim +
                                 config.n_routed_experts + 2 * width.mlp + 2 * config.hidden_size) +
                         width.slots * (5 + 2 * config.moe_intermediate_size + config.hidden_size) +
                         limits.max_logit_rows * config.hidden_size +
                         std::max(rows, limits.max_logit_rows) * width.input;
  return floats * static_cast<int64_t>(sizeof(float));
}

}  // namespace fathom
