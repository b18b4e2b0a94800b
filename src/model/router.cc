#include "model/router.h"

#include <algorithm>
#include <array>
#include <limits>

#include "kernels/elementwise.h"

namespace fathom {

namespace {

constexpr float kMasked = -std::numeric_limits<float>::infinity();

// How a group counts: by its two best biased scores (V3), or by its best one (V2).
float group_score(const RouterConfig& config, const float* scores, int64_t size) {
  float best = kMasked, second = kMasked;
  for (int64_t i = 0; i < size; ++i) {
    if (scores[i] > best) {
      second = best;
      best = scores[i];
    } else if (scores[i] > second) {
      second = scores[i];
    }
  }
  if (config.topk_method == TopkMethod::kGroupLimitedGreedy) return best;
  return size > 1 ? best + second : best;
}

// Masks all experts but those of the topk_group best groups (lower group first among equals).
void limit_groups(const RouterConfig& config, float* scores) {
  const int64_t size = config.n_routed_experts / config.n_group;
  std::array<float, kMaxExperts> group_scores;
  for (int64_t g = 0; g < config.n_group; ++g)
    group_scores[g] = group_score(config, scores + g * size, size);
  for (int64_t g = 0; g < config.n_group; ++g) {
    int64_t better = 0;
    for (int64_t other = 0; other < config.n_group; ++other) {
      if (group_scores[other] > group_scores[g] ||
          (group_scores[other] == group_scores[g] && other < g))
        ++better;
    }
    // Minus infinity, not zero: biased scores may be negative (spec §2.5).
    if (better >= config.topk_group) std::fill_n(scores + g * size, size, kMasked);
  }
}

}  // namespace

RouterConfig router_config(const ModelConfig& config) {
  return {.scoring_func = config.scoring_func,
          .topk_method = config.topk_method,
          .n_routed_experts = config.n_routed_experts,
          .num_experts_per_tok = config.num_experts_per_tok,
          .n_group = config.n_group,
          .topk_group = config.topk_group,
          .norm_topk_prob = config.norm_topk_prob,
          .routed_scaling_factor = static_cast<float>(config.routed_scaling_factor)};
}

void route(Isa isa, const RouterConfig& config, float* logits, const float* bias, int32_t* indices,
           float* weights) {
  const int64_t n = config.n_routed_experts;
  float* const affinity = logits;
  switch (config.scoring_func) {
    case ScoringFunc::kSigmoid:
      sigmoid_row(isa, logits, affinity, n);
      break;
    case ScoringFunc::kSoftmax:
      softmax_row(isa, logits, affinity, n);
      break;
  }

  // The correction bias only chooses experts; the weights come from the plain affinity.
  std::array<float, kMaxExperts> scores;
  for (int64_t i = 0; i < n; ++i) scores[i] = bias == nullptr ? affinity[i] : affinity[i] + bias[i];
  if (config.topk_method != TopkMethod::kGreedy && config.n_group > 1)
    limit_groups(config, scores.data());

  float sum = 0;
  for (int64_t k = 0; k < config.num_experts_per_tok; ++k) {
    int64_t best = 0;
    for (int64_t i = 1; i < n; ++i) {
      if (scores[i] > scores[best]) best = i;
    }
    indices[k] = static_cast<int32_t>(best);
    weights[k] = affinity[best];
    sum += affinity[best];
    scores[best] = kMasked;
  }
  for (int64_t k = 0; k < config.num_experts_per_tok; ++k) {
    if (config.norm_topk_prob) weights[k] /= sum + 1e-20f;
    weights[k] *= config.routed_scaling_factor;
  }
}

}  // namespace fathom
