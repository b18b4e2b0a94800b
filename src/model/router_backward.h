// The pass back through the router (model/router.h), and the sequence-wise balance loss (spec §6.4;
// report §2.1.2, eq. 17-20). The choice of experts carries no gradient.
#pragma once

#include <cstdint>
#include <vector>

#include "model/router.h"

namespace fathom {

// Of one token: d_logits [n_routed_experts], written, from d_weights [num_experts_per_tok] of the
// weights that route() gave. affinities [n_routed_experts] as route() left them; indices its
// choice.
void route_backward(const RouterConfig& config, const float* affinities, const int32_t* indices,
                    const float* d_weights, float* d_logits);

// The balance term of some tokens, with alpha 1: value = sum over experts of f * P. f counts the
// plain top-k of the affinities, without bias and groups, times n_routed_experts /
// (num_experts_per_tok * n_tokens); P is the mean of the affinities' shares.
struct BalanceTerm {
  double value = 0;
  int64_t n_tokens = 0;
  std::vector<double> f;  // [n_routed_experts]
};
// affinities [n_tokens, n_routed_experts].
BalanceTerm balance_term(const RouterConfig& config, const float* affinities, int64_t n_tokens);
// d_logits [n_routed_experts] of one of those tokens += scale * the term's gradient.
void add_balance_gradient(const RouterConfig& config, const BalanceTerm& term,
                          const float* affinities, double scale, float* d_logits);

}  // namespace fathom
