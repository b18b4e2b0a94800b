#include "model/router_backward.h"

#include <algorithm>
#include <array>

#include "base/check.h"

namespace fathom {
namespace {

// From gradients by the affinities to those by the logits.
void through_scores(const RouterConfig& config, const float* affinities, const double* d_affinities,
                    bool add, float* d_logits) {
  const int64_t n = config.n_routed_experts;
  double sum = 0;
  if (config.scoring_func == ScoringFunc::kSoftmax) {
    for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(affinities[i]) * d_affinities[i];
  }
  for (int64_t i = 0; i < n; ++i) {
    const auto s = static_cast<double>(affinities[i]);
    const double g = config.scoring_func == ScoringFunc::kSigmoid ? d_affinities[i] * s * (1 - s)
                                                                  : s * (d_affinities[i] - sum);
    d_logits[i] = static_cast<float>(add ? static_cast<double>(d_logits[i]) + g : g);
  }
}

}  // namespace

void route_backward(const RouterConfig& config, const float* affinities, const int32_t* indices,
                    const float* d_weights, float* d_logits) {
  const int64_t top_k = config.num_experts_per_tok;
  const auto factor = static_cast<double>(config.routed_scaling_factor);
  std::array<double, kMaxExperts> d_affinities;
  std::fill_n(d_affinities.begin(), config.n_routed_experts, 0.0);
  double sum = 1, inner = 0;
  if (config.norm_topk_prob) {  // weight = factor * s / sum
    sum = 1e-20;
    for (int64_t k = 0; k < top_k; ++k) sum += static_cast<double>(affinities[indices[k]]);
    for (int64_t k = 0; k < top_k; ++k)
      inner += static_cast<double>(d_weights[k]) * static_cast<double>(affinities[indices[k]]);
    inner /= sum;
  }
  for (int64_t k = 0; k < top_k; ++k) {
    d_affinities[static_cast<size_t>(indices[k])] =
        factor * (static_cast<double>(d_weights[k]) - inner) / sum;
  }
  through_scores(config, affinities, d_affinities.data(), /*add=*/false, d_logits);
}

BalanceTerm balance_term(const RouterConfig& config, const float* affinities, int64_t n_tokens) {
  const int64_t n = config.n_routed_experts, top_k = config.num_experts_per_tok;
  BalanceTerm term;
  term.n_tokens = n_tokens;
  term.f.assign(static_cast<size_t>(n), 0.0);
  std::vector<double> p(static_cast<size_t>(n), 0.0);
  std::vector<int32_t> order(static_cast<size_t>(n));
  for (int64_t t = 0; t < n_tokens; ++t) {
    const float* const s = affinities + t * n;
    for (int64_t i = 0; i < n; ++i) order[static_cast<size_t>(i)] = static_cast<int32_t>(i);
    const auto before = [s](int32_t a, int32_t b) {
      return s[a] > s[b] || (s[a] == s[b] && a < b);
    };
    std::nth_element(order.begin(), order.begin() + (top_k - 1), order.end(), before);
    for (int64_t k = 0; k < top_k; ++k)
      term.f[static_cast<size_t>(order[static_cast<size_t>(k)])] += 1;
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(s[i]);
    for (int64_t i = 0; i < n; ++i)
      p[static_cast<size_t>(i)] += static_cast<double>(s[i]) / (sum + 1e-20);
  }
  const double tokens = static_cast<double>(std::max<int64_t>(1, n_tokens));
  for (size_t i = 0; i < term.f.size(); ++i) {
    term.f[i] *= static_cast<double>(n) / (static_cast<double>(top_k) * tokens);
    term.value += term.f[i] * p[i] / tokens;
  }
  return term;
}

void add_balance_gradient(const RouterConfig& config, const BalanceTerm& term,
                          const float* affinities, double scale, float* d_logits) {
  const int64_t n = config.n_routed_experts;
  // The share p_i = s_i / sum: dL/ds_j = (f_j - sum_i f_i p_i) / sum, over n_tokens.
  double sum = 1e-20, inner = 0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(affinities[i]);
  for (int64_t i = 0; i < n; ++i)
    inner += term.f[static_cast<size_t>(i)] * static_cast<double>(affinities[i]) / sum;
  std::array<double, kMaxExperts> d_affinities;
  const double factor = scale / (static_cast<double>(term.n_tokens) * sum);
  for (int64_t i = 0; i < n; ++i)
    d_affinities[static_cast<size_t>(i)] = factor * (term.f[static_cast<size_t>(i)] - inner);
  through_scores(config, affinities, d_affinities.data(), /*add=*/true, d_logits);
}

}  // namespace fathom
