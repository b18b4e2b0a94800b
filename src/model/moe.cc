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

// The choice onto the tape; route() has left the affinities in place of the logits.
void keep_routing(Step& step, RoutingTape& tape) {
  const Workspace& ws = step.ws;
  const int64_t n_slots = step.n_rows * step.config.num_experts_per_tok;
  keep(step, ws.router_logits.data(), tape.affinities, step.config.n_routed_experts);
  keep(step, ws.expert_weights.data(), tape.expert_weights, step.config.num_experts_per_tok);
  std::copy_n(ws.expert_ids.data(), n_slots, tape.expert_ids.data());
  std::copy_n(ws.slot_of.data(), n_slots, tape.slot_of.data());
  std::copy_n(ws.slot_token.data(), n_slots, tape.slot_token.data());
  std::copy_n(ws.expert_begin.data(), step.config.n_routed_experts + 1, tape.expert_begin.data());
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

// The experts that some row chose, ascending.
std::span<const int32_t> chosen_experts(Step& step) {
  Workspace& ws = step.ws;
  size_t n = 0;
  for (int64_t e = 0; e < step.config.n_routed_experts; ++e) {
    if (ws.expert_begin[e + 1] > ws.expert_begin[e])
      ws.chosen_experts[static_cast<int64_t>(n++)] = static_cast<int32_t>(e);
  }
  return {ws.chosen_experts.data(), n};
}

// The shared expert joins the first group of routed ones where it takes the same input, as it does
// in every published file. In training it is by itself.
bool shared_joins(const Step& step, const MoeWeights& w) {
  return step.tape == nullptr && !w.shared_experts.gate_proj.empty() &&
         input_format(step.activations, w.shared_experts.gate_proj.dtype) ==
             input_format(step.activations, w.experts[0].gate_proj.dtype);
}

// expert_out [slots, hidden_size] of a group of routed experts, and mlp_h of the shared one if that
// is given. A group's rows of expert_h stand together from 0.
void run_group(Step& step, int64_t layer, std::span<const ReadyExpert> group,
               const MlpWeights* shared) {
  const ModelConfig& config = step.config;
  Workspace& ws = step.ws;
  const int64_t width = config.moe_intermediate_size;
  int64_t n_jobs = 0, n_slots = 0;
  for (const ReadyExpert& expert : group) {
    const int64_t begin = ws.expert_begin[expert.id];
    const int64_t n = ws.expert_begin[expert.id + 1] - begin;
    ws.glu_jobs[n_jobs] = {.gate = &expert.weights->gate_proj,
                           .up = &expert.weights->up_proj,
                           .rows = &ws.slot_token[begin],
                           .n_rows = n,
                           .h = &ws.expert_h[n_slots * width],
                           .ldh = width};
    ws.linear_jobs[n_jobs] = {.weight = &expert.weights->down_proj,
                              .rows = &ws.slot_ids[n_slots],
                              .n_rows = n,
                              .y = &ws.expert_out[begin * config.hidden_size],
                              .ldy = config.hidden_size};
    ++n_jobs;
    n_slots += n;
  }
  if (shared != nullptr) {
    ws.glu_jobs[n_jobs] = {.gate = &shared->gate_proj,
                           .up = &shared->up_proj,
                           .rows = nullptr,
                           .n_rows = step.n_rows,
                           .h = ws.mlp_h.data(),
                           .ldh = shared->gate_proj.n};
  }
  const std::span<const GluJob> glus(ws.glu_jobs.data(),
                                     static_cast<size_t>(n_jobs + (shared != nullptr ? 1 : 0)));
  if (LayerTape* tape = step.tape_of(layer)) {
    kept_glu(step, ws.input, glus, ws.expert_h.data(), n_slots, width, tape->expert_gate,
             tape->expert_up);
  } else {
    linear_glu(step.compute, ws.input, glus);
  }
  const InputFormat mid = input_format(step.activations, group[0].weights->down_proj.dtype);
  ws.expert_input.prepare(step.compute, ws.expert_h.data(), width, n_slots, width, mid);
  linear(step.compute, ws.expert_input,
         std::span<const LinearJob>(ws.linear_jobs.data(), static_cast<size_t>(n_jobs)));
}

// All chosen experts: at once where they are in memory, else as they become ready. False if weights
// could not be read.
bool run_experts(Step& step, const MoeWeights& w, int64_t layer, const float* h) {
  Workspace& ws = step.ws;
  const std::span<const int32_t> chosen = chosen_experts(step);
  ws.input.prepare(step.compute, h, step.config.hidden_size, step.n_rows, step.config.hidden_size,
                   input_format(step.activations, w.experts[0].gate_proj.dtype));
  const MlpWeights* shared = shared_joins(step, w) ? &w.shared_experts : nullptr;
  if (step.experts == nullptr) {
    for (size_t i = 0; i < chosen.size(); ++i) {
      ws.ready_experts[static_cast<int64_t>(i)] = {chosen[i],
                                                   &w.experts[static_cast<size_t>(chosen[i])]};
    }
    run_group(step, layer, {ws.ready_experts.data(), chosen.size()}, shared);
    return true;
  }
  step.experts->request(layer, chosen);
  for (size_t done = 0; done < chosen.size(); shared = nullptr) {
    const std::span<const ReadyExpert> group = step.experts->next_group();
    if (group.empty()) return false;
    run_group(step, layer, group, shared);
    done += group.size();
  }
  return true;
}

// out [n_rows, hidden_size] of the shared expert.
void finish_shared(Step& step, const MoeWeights& w, int64_t layer, const float* h, float* out) {
  if (w.shared_experts.gate_proj.empty()) {
    std::fill_n(out, step.n_rows * step.config.hidden_size, 0.0f);
  } else if (shared_joins(step, w)) {
    mlp_down(step, w.shared_experts, out);
  } else {
    mlp(step, w.shared_experts, layer, h, out);
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
      const int64_t next = next_slot(&ws.slot_of[row * top_k], top_k, previous);
      previous = ws.slot_of[row * top_k + next];
      axpy_row(step.compute.isa, ws.expert_weights[row * top_k + next],
               &ws.expert_out[int64_t{previous} * hidden_size], out + row * hidden_size,
               hidden_size);
    }
  });
}

}  // namespace

bool moe(Step& step, const MoeWeights& w, int64_t layer, const float* h, float* out) {
  choose_experts(step, w, layer, h);
  gather_by_expert(step);
  if (LayerTape* tape = step.tape_of(layer)) keep_routing(step, tape->routing);
  if (!run_experts(step, w, layer, h)) return false;
  finish_shared(step, w, layer, h, out);
  combine(step, out);
  return true;
}

}  // namespace fathom
