// The router of DeepSeekMoE (spec §2.5; report §2.1.2, auxiliary-loss-free balancing): which
// experts a token takes, and with what weights.
#pragma once

#include <cstdint>

#include "kernels/dispatch.h"
#include "model/config.h"

namespace fathom {

struct RouterConfig {
  ScoringFunc scoring_func;
  TopkMethod topk_method;
  int64_t n_routed_experts;
  int64_t num_experts_per_tok;
  int64_t n_group;
  int64_t topk_group;
  bool norm_topk_prob;
  float routed_scaling_factor;
};
RouterConfig router_config(const ModelConfig& config);

inline constexpr int64_t kMaxExperts =
    4096;  // bounds the router's scratch; the published models have at most 384

// One token. logits [n_routed_experts], overwritten by the affinities; bias [n_routed_experts] or
// null. indices, weights [num_experts_per_tok], by falling (biased) score, ties to the lower id;
// weights include routed_scaling_factor.
void route(Isa isa, const RouterConfig& config, float* logits, const float* bias, int32_t* indices,
           float* weights);

}  // namespace fathom
