// The pass back through DeepSeekMoE (model/moe.cc): the routed experts by their slots, the shared
// experts, the router with the balance term (spec §6.3-6.5). The choice of experts carries no
// gradient.
#include <algorithm>

#include "kernels/elementwise.h"
#include "model/backward.h"
#include "model/router.h"
#include "model/router_backward.h"
#include "model/step.h"

namespace fathom {

namespace {

struct Slots {
  const RoutingTape& routing;
  int64_t n;  // of all experts
  int64_t begin(int64_t expert) const { return routing.expert_begin[expert]; }
  int64_t size(int64_t expert) const { return begin(expert + 1) - begin(expert); }
  const int32_t* tokens(int64_t expert) const { return &routing.slot_token[begin(expert)]; }
};

// One product for each expert that has tokens, over a shared input: y [slots, n of the weight].
template <typename Weight>
void expert_linear(BackwardStep& step, const MoeGradients& g, const Slots& slots,
                   const LinearInput& input, bool by_token, const Weight& weight, float* y) {
  BackwardWorkspace& ws = step.ws;
  int64_t n_jobs = 0;
  for (int64_t e = 0; e < step.config.n_routed_experts; ++e) {
    if (slots.size(e) == 0) continue;
    const LinearWeight& w = weight(g.experts[static_cast<size_t>(e)]).transposed;
    ws.jobs[n_jobs++] = {.weight = &w,
                         .rows = by_token ? slots.tokens(e) : &ws.slot_ids[slots.begin(e)],
                         .n_rows = slots.size(e),
                         .y = y + slots.begin(e) * w.n,
                         .ldy = w.n};
  }
  linear(step.compute, input, {ws.jobs.data(), static_cast<size_t>(n_jobs)});
}

// dw of one matrix of each expert: the rows of dy and x are slots, or tokens of slots.
template <typename Weight>
void expert_wgrad(BackwardStep& step, const MoeGradients& g, const Slots& slots, RowsView dy,
                  bool dy_by_token, RowsView x, bool x_by_token, const Weight& weight) {
  BackwardWorkspace& ws = step.ws;
  ws.wgrad_jobs.clear();
  for (int64_t e = 0; e < step.config.n_routed_experts; ++e) {
    if (slots.size(e) == 0) continue;
    const LinearGradient& w = weight(g.experts[static_cast<size_t>(e)]);
    const int32_t* const ids = &ws.slot_ids[slots.begin(e)];
    ws.wgrad_jobs.push_back({.dy = dy,
                             .dy_rows = dy_by_token ? slots.tokens(e) : ids,
                             .x = x,
                             .x_rows = x_by_token ? slots.tokens(e) : ids,
                             .n_rows = slots.size(e),
                             .n = w.n(),
                             .k = w.k(),
                             .dw = w.gradient});
  }
  wgrad(step, ws.wgrad_jobs, weight(g.experts[0]));
}

const LinearGradient& gate_of(const MlpGradients& g) { return g.gate_proj; }
const LinearGradient& up_of(const MlpGradients& g) { return g.up_proj; }
const LinearGradient& down_of(const MlpGradients& g) { return g.down_proj; }

// Of each slot, with y = weight * (W_down h) its part of the token's result and u = W_down^T d_out:
// d_weight = u.h, d_h = weight * u, and the input of W_down's Wgrad is weight * h, so that d_out
// serves all slots as it is. Leaves d_gate, d_up in place of gate, up, and weight * h in mlp_h.
void slots_backward(BackwardStep& step, const Slots& slots, int64_t width) {
  BackwardWorkspace& ws = step.ws;
  const int64_t top_k = step.config.num_experts_per_tok;
  const Isa isa = step.compute.isa;
  step.compute.pool->parallel_for(step.n_rows, [&](int64_t token, int) {
    for (int64_t i = token * top_k; i < (token + 1) * top_k; ++i) {
      const int64_t at = int64_t{slots.routing.slot_of[i]} * width;
      const float weight = slots.routing.expert_weights[i];
      float* const h = &ws.mlp_h[at];
      float* const u = &ws.d_mlp_h[at];
      silu_mul_row(isa, &ws.gate[at], &ws.up[at], h, width);
      ws.d_expert_weights[i] = dot_row(isa, u, h, width);
      scale_row(isa, weight, u, width);
      silu_mul_backward_row(isa, &ws.gate[at], &ws.up[at], u, &ws.gate[at], &ws.up[at], width);
      scale_row(isa, weight, h, width);
    }
  });
}

// d_h += the slots' gradients of each token, experts ascending.
void combine_backward(BackwardStep& step, const Slots& slots, float* d_h) {
  BackwardWorkspace& ws = step.ws;
  const int64_t top_k = step.config.num_experts_per_tok, n = step.config.hidden_size;
  step.compute.pool->parallel_for(step.n_rows, [&](int64_t token, int) {
    const int32_t* const of_token = &slots.routing.slot_of[token * top_k];
    int32_t slot = -1;
    for (int64_t i = 0; i < top_k; ++i) {
      slot = of_token[next_slot(of_token, top_k, slot)];
      axpy_row(step.compute.isa, 1.0f, &ws.d_slots[slot * n], d_h + token * n, n);
      axpy_row(step.compute.isa, 1.0f, &ws.d_slots_up[slot * n], d_h + token * n, n);
    }
  });
}

// d_h += what comes through the routed experts; fills d_expert_weights.
void experts_backward(BackwardStep& step, const MoeGradients& g, int64_t layer, const float* h,
                      const float* d_out, float* d_h) {
  const ModelConfig& config = step.config;
  BackwardWorkspace& ws = step.ws;
  const LayerTape& tape = step.tape.layer(layer);
  const int64_t width = config.moe_intermediate_size, hidden_size = config.hidden_size;
  const Slots slots{tape.routing, step.n_rows * config.num_experts_per_tok};
  const MlpGradients& any = g.experts[0];
  tape.expert_gate.load(step.compute, ws.gate.data(), width);
  tape.expert_up.load(step.compute, ws.up.data(), width);

  prepare_dgrad(step, d_out, step.n_rows, any.down_proj, ws.input);
  expert_linear(step, g, slots, ws.input, /*by_token=*/true, down_of, ws.d_mlp_h.data());
  slots_backward(step, slots, width);
  expert_wgrad(step, g, slots, f32_rows(d_out, hidden_size), true,
               seen_by(step, any.down_proj, ws.mlp_h.data(), slots.n, ws.saved_slots), false,
               down_of);

  const RowsView x = seen_by(step, any.gate_proj, h, step.n_rows, ws.saved);
  expert_wgrad(step, g, slots, f32_rows(ws.gate.data(), width), false, x, true, gate_of);
  expert_wgrad(step, g, slots, f32_rows(ws.up.data(), width), false, x, true, up_of);
  prepare_dgrad(step, ws.gate.data(), slots.n, any.gate_proj, ws.slot_input);
  expert_linear(step, g, slots, ws.slot_input, /*by_token=*/false, gate_of, ws.d_slots.data());
  prepare_dgrad(step, ws.up.data(), slots.n, any.up_proj, ws.slot_input);
  expert_linear(step, g, slots, ws.slot_input, /*by_token=*/false, up_of, ws.d_slots_up.data());
  combine_backward(step, slots, d_h);
}

// The balance term of each sequence, or of the whole micro-batch, and its part of d_logits.
void balance_backward(BackwardStep& step, const RouterConfig& router, const RoutingTape& routing) {
  const double alpha = step.loss.balance_alpha * step.loss.balance_scale;
  if (alpha == 0) return;
  BackwardWorkspace& ws = step.ws;
  const int64_t n = step.config.n_routed_experts;
  const int64_t length = step.loss.batch_wise ? step.n_rows : step.length();
  for (int64_t first = 0; first < step.n_rows; first += length) {
    const BalanceTerm term = balance_term(router, &routing.affinities[first * n], length);
    step.sums.balance += alpha * term.value;
    step.compute.pool->parallel_for(length, [&](int64_t i, int) {
      const int64_t at = (first + i) * n;
      add_balance_gradient(router, term, &routing.affinities[at], alpha * step.loss.gradient_scale,
                           &ws.d_logits[at]);
    });
  }
}

// d_h += what comes through the router, in F32.
void router_backward(BackwardStep& step, const MoeGradients& g, const RoutingTape& routing,
                     const float* h, float* d_h) {
  const ModelConfig& config = step.config;
  BackwardWorkspace& ws = step.ws;
  const int64_t n = config.n_routed_experts, top_k = config.num_experts_per_tok;
  const RouterConfig router = router_config(config);
  step.compute.pool->parallel_for(step.n_rows, [&](int64_t row, int) {
    route_backward(router, &routing.affinities[row * n], &routing.expert_ids[row * top_k],
                   &ws.d_expert_weights[row * top_k], &ws.d_logits[row * n]);
  });
  balance_backward(step, router, routing);

  const WgradJob job = {.dy = f32_rows(ws.d_logits.data(), n),
                        .dy_rows = nullptr,
                        .x = f32_rows(h, config.hidden_size),
                        .x_rows = nullptr,
                        .n_rows = step.n_rows,
                        .n = n,
                        .k = config.hidden_size,
                        .dw = g.gate.gradient};
  wgrad(step.compute, GradientPrecision::kF32, {&job, 1}, ws.wgrad);
  ws.input.prepare(step.compute, ws.d_logits.data(), n, step.n_rows, n, InputFormat::kF32);
  linear(step.compute, ws.input, g.gate.transposed, ws.d_part.data(), config.hidden_size);
  add_in_place(step.compute, d_h, ws.d_part.data(), step.n_rows * config.hidden_size);
}

void count_loads(BackwardStep& step, int64_t layer, const Slots& slots) {
  auto& loads = step.sums.loads[static_cast<size_t>(layer - step.config.first_k_dense_replace)];
  for (int64_t e = 0; e < step.config.n_routed_experts; ++e)
    loads[static_cast<size_t>(e)] += slots.size(e);
}

}  // namespace

void moe_backward(BackwardStep& step, const MoeGradients& g, int64_t layer, const float* h,
                  const float* d_out, float* d_h) {
  const RoutingTape& routing = step.tape.layer(layer).routing;
  if (g.shared_experts.gate_proj.empty()) {
    std::fill_n(d_h, step.n_rows * step.config.hidden_size, 0.0f);
  } else {
    mlp_backward(step, g.shared_experts, layer, h, d_out, d_h);
  }
  experts_backward(step, g, layer, h, d_out, d_h);
  router_backward(step, g, routing, h, d_h);
  count_loads(step, layer, {routing, step.n_rows * step.config.num_experts_per_tok});
}

}  // namespace fathom
