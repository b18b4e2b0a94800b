// DeepSeekMoE (report §2.1.2, spec §2.6): the shared expert sees every token, the routed experts
// those that chose them. Tokens are gathered by expert, so that each chosen expert's weights are
// read once a step and no others at all; nothing is dropped, whatever the load. A token's result:
// shared expert, then its experts in ascending id, each by one fma with its weight
// (docs/numerics.md 4).
#include <algorithm>

#include "kernels/elementwise.h"
#include "model/router.h"
#include "model/step.h"

namespace fathom {

namespace {

void choose_experts(Step& step, const MoeWeights& w, int64_t layer, const float* h) {
  const ModelConfig& config = step.config;
  Workspace& ws = step.ws;
  const int64_t n_experts = config.n_routed_experts;
  const int64_t top_k = config.num_experts_per_tok;
  // The router takes F32 in every mode.
  ws.input.prepare(step.compute, h, config.hidden_size, step.n_rows, config.hidden_size,
                   InputFormat::kF32);
  linear(step.compute, ws.input, w.gate, ws.router_logits.data(), n_experts);
  const RouterConfig router = router_config(config);
  const float* bias =
      w.e_score_correction_bias.empty() ? nullptr : w.e_score_correction_bias.data();
  step.compute.pool->parallel_for(step.n_rows, [&](int64_t row, int) {
    route(step.compute.isa, router, &ws.router_logits[row * n_experts], bias,
          &ws.expert_ids[row * top_k], &ws.expert_weights[row * top_k]);
  });
  if (step.observer != nullptr) {
    step.observer->on_router(layer, ws.expert_ids.data(), ws.expert_weights.data(), step.n_rows);
  }
}

// Slots are the (token, expert) pairs grouped by expert, tokens ascending.
void gather_by_expert(Step& step) {
  Workspace& ws = step.ws;
  const int64_t n_experts = step.config.n_routed_experts;
  const int64_t top_k = step.config.num_experts_per_tok;
  const int64_t n_slots = step.n_rows * top_k;
  std::fill_n(ws.expert_begin.data(), n_experts + 1, 0);
  for (int64_t i = 0; i < n_slots; ++i) ++ws.expert_begin[ws.expert_ids[i] + 1];
  for (int64_t e = 0; e < n_experts; ++e) ws.expert_begin[e + 1] += ws.expert_begin[e];
  for (int64_t i = 0; i < n_slots; ++i) {
    const int32_t slot = ws.expert_begin[ws.expert_ids[i]]++;
    ws.slot_of[i] = slot;
    ws.slot_token[slot] = static_cast<int32_t>(i / top_k);
  }
  for (int64_t e = n_experts; e > 0; --e) ws.expert_begin[e] = ws.expert_begin[e - 1];
  ws.expert_begin[0] = 0;
}

// expert_out [slots, hidden_size] of the routed experts, and out [n_rows, hidden_size] of the
// shared one.
void run_experts(Step& step, const MoeWeights& w, const float* h, float* out) {
  const ModelConfig& config = step.config;
  Workspace& ws = step.ws;
  const int64_t width = config.moe_intermediate_size;
  const int64_t n_slots = step.n_rows * config.num_experts_per_tok;
  int64_t n_jobs = 0;
  for (int64_t e = 0; e < config.n_routed_experts; ++e) {
    const int64_t begin = ws.expert_begin[e], n = ws.expert_begin[e + 1] - begin;
    if (n == 0) continue;
    const MlpWeights& expert = w.experts[static_cast<size_t>(e)];
    ws.glu_jobs[n_jobs] = {.gate = &expert.gate_proj,
                           .up = &expert.up_proj,
                           .rows = &ws.slot_token[begin],
                           .n_rows = n,
                           .h = &ws.expert_h[begin * width],
                           .ldh = width};
    ws.linear_jobs[n_jobs] = {.weight = &expert.down_proj,
                              .rows = &ws.slot_ids[begin],
                              .n_rows = n,
                              .y = &ws.expert_out[begin * config.hidden_size],
                              .ldy = config.hidden_size};
    ++n_jobs;
  }
  const InputFormat in = input_format(step.activations, w.experts[0].gate_proj.dtype);
  const MlpWeights& shared = w.shared_experts;
  // The shared expert joins the routed ones' region where it takes the same input, as it does in
  // every published file.
  const bool together =
      !shared.gate_proj.empty() && input_format(step.activations, shared.gate_proj.dtype) == in;
  if (together) {
    ws.glu_jobs[n_jobs] = {.gate = &shared.gate_proj,
                           .up = &shared.up_proj,
                           .rows = nullptr,
                           .n_rows = step.n_rows,
                           .h = ws.mlp_h.data(),
                           .ldh = shared.gate_proj.n};
  }
  ws.input.prepare(step.compute, h, config.hidden_size, step.n_rows, config.hidden_size, in);
  linear_glu(step.compute, ws.input,
             {ws.glu_jobs.data(), static_cast<size_t>(n_jobs + (together ? 1 : 0))});
  const InputFormat mid = input_format(step.activations, w.experts[0].down_proj.dtype);
  ws.expert_input.prepare(step.compute, ws.expert_h.data(), width, n_slots, width, mid);
  linear(step.compute, ws.expert_input,
         std::span<const LinearJob>(ws.linear_jobs.data(), static_cast<size_t>(n_jobs)));
  if (shared.gate_proj.empty()) {
    std::fill_n(out, step.n_rows * config.hidden_size, 0.0f);
  } else if (together) {
    mlp_down(step, shared, out);
  } else {
    mlp(step, shared, h, out);
  }
}

// Adds each token's experts in ascending id: experts' slots ascend with their ids.
void combine(Step& step, float* out) {
  Workspace& ws = step.ws;
  const int64_t top_k = step.config.num_experts_per_tok;
  const int64_t hidden_size = step.config.hidden_size;
  step.compute.pool->parallel_for(step.n_rows, [&](int64_t row, int) {
    int32_t previous = -1;
    for (int64_t i = 0; i < top_k; ++i) {
      int64_t next = -1;
      for (int64_t k = 0; k < top_k; ++k) {
        const int32_t slot = ws.slot_of[row * top_k + k];
        if (slot > previous && (next < 0 || slot < ws.slot_of[row * top_k + next])) next = k;
      }
      previous = ws.slot_of[row * top_k + next];
      axpy_row(step.compute.isa, ws.expert_weights[row * top_k + next],
               &ws.expert_out[int64_t{previous} * hidden_size], out + row * hidden_size,
               hidden_size);
    }
  });
}

}  // namespace

void moe(Step& step, const MoeWeights& w, int64_t layer, const float* h, float* out) {
  choose_experts(step, w, layer, h);
  gather_by_expert(step);
  run_experts(step, w, h, out);
  combine(step, out);
}

}  // namespace fathom
