// Everything a forward pass needs besides weights and caches: intermediate rows, prepared inputs,
// attention scratch. Sized once for the largest step; a pass allocates nothing.
#pragma once

#include <cstdint>

#include "kernels/attention.h"
#include "kernels/linear.h"
#include "model/config.h"
#include "model/expert_source.h"
#include "tensor/buffer.h"

namespace fathom {

struct WorkspaceLimits {
  int64_t max_rows = 0;        // rows of one pass
  int64_t max_sequences = 0;   // pieces of sequences in one pass
  int64_t max_context = 0;     // positions of a sequence
  int64_t max_logit_rows = 0;  // rows whose logits are asked for at once
};

struct Workspace {
  Workspace() = default;
  Workspace(const ModelConfig& config, const KvLayout& kv, const WorkspaceLimits& limits,
            int n_threads);
  // What the constructor would take, for planning memory.
  static int64_t bytes(const ModelConfig& config, const WorkspaceLimits& limits);

  WorkspaceLimits limits;
  Buffer<float> x;       // [max_rows, hidden_size]: the residual stream
  Buffer<float> normed;  // [max_rows, hidden_size]: what enters attention or the feed-forward part
  Buffer<float> out;     // [max_rows, hidden_size]: what comes out of it
  Buffer<float> hidden;  // [max_rows, hidden_size]: after model.norm
  Buffer<float> q_a;     // [max_rows, q_lora_rank]
  Buffer<float> q;       // [max_rows, n_heads * qk_head_dim]
  Buffer<float> kv_a;    // [max_rows, kv_lora_rank + qk_rope_head_dim]
  Buffer<float> o;       // [max_rows, n_heads * v_head_dim]
  Buffer<float> router_logits;   // [max_rows, n_routed_experts]
  Buffer<int32_t> expert_ids;    // [max_rows, num_experts_per_tok], by falling score
  Buffer<float> expert_weights;  // the same shape
  Buffer<int32_t>
      slot_of;  // the same shape: the row of expert_h and expert_out that this choice has
  Buffer<int32_t> slot_token;    // [max_rows * num_experts_per_tok]: the token of each slot, slots
                                 // grouped by expert
  Buffer<int32_t> slot_ids;      // 0, 1, 2, ...
  Buffer<int32_t> expert_begin;  // [n_routed_experts + 1]: first slot of each expert
  Buffer<int32_t> chosen_experts;       // [n_routed_experts]: those that some row chose
  Buffer<ReadyExpert> ready_experts;    // [n_routed_experts]
  Buffer<float> mlp_h;                  // [max_rows, widest dense or shared MLP]
  Buffer<float> expert_h;               // [max_rows * num_experts_per_tok, moe_intermediate_size]
  Buffer<float> expert_out;             // [max_rows * num_experts_per_tok, hidden_size]
  Buffer<float> concat;                 // [max_rows, 2 * hidden_size]: the MTP module's input
  Buffer<float> head_in;                // [max_logit_rows, hidden_size]
  Buffer<LinearJob> linear_jobs;        // [n_routed_experts]
  Buffer<GluJob> glu_jobs;              // [n_routed_experts + 1]
  Buffer<AttentionJob> attention_jobs;  // [max_sequences]
  Buffer<int64_t> row_position;         // [max_rows]
  Buffer<int32_t> row_sequence;         // [max_rows]
  LinearInput input;                    // rows of the residual width and of o
  LinearInput mlp_input;                // rows of mlp_h
  LinearInput expert_input;             // rows of expert_h
  AttentionWorkspace attention;
};

}  // namespace fathom
