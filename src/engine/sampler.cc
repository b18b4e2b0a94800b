#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/mix64.h"
#include "kernels/elementwise.h"
#include "kernels/math.h"

namespace fathom {

namespace {
constexpr float kNever = -std::numeric_limits<float>::infinity();
// The nucleus of real distributions is small: sort this many first, more only when they do not
// reach top_p.
constexpr size_t kFirstSorted = 256;
}  // namespace

double counter_uniform(uint64_t seed, uint64_t choice, uint64_t position) {
  const uint64_t bits = mix64(mix64(mix64(seed) ^ choice) ^ position);
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

Status check_sampling(const SamplingParams& p, int64_t vocab_size) {
  const auto finite_in = [](double x, double low, double high) {
    return std::isfinite(x) && x >= low && x <= high;
  };
  if (!finite_in(p.temperature, 0, 100))
    return invalid_error("temperature is ", p.temperature, ", expected 0 to 100");
  if (!finite_in(p.top_p, 0, 1) || p.top_p == 0)
    return invalid_error("top_p is ", p.top_p, ", expected more than 0, at most 1");
  if (p.top_k < 0) return invalid_error("top_k is ", p.top_k, ", expected 0 (off) or more");
  if (!finite_in(p.min_p, 0, 1)) return invalid_error("min_p is ", p.min_p, ", expected 0 to 1");
  if (!finite_in(p.repetition_penalty, 1e-3, 1e3)) {
    return invalid_error("repetition_penalty is ", p.repetition_penalty,
                         ", expected 0.001 to 1000");
  }
  if (!finite_in(p.presence_penalty, -100, 100)) {
    return invalid_error("presence_penalty is ", p.presence_penalty, ", expected -100 to 100");
  }
  if (!finite_in(p.frequency_penalty, -100, 100)) {
    return invalid_error("frequency_penalty is ", p.frequency_penalty, ", expected -100 to 100");
  }
  for (const auto& [id, bias] : p.logit_bias) {
    if (id < 0 || id >= vocab_size)
      return invalid_error("logit_bias names token ", id, ", the vocabulary has ", vocab_size);
    if (!finite_in(bias, -1e6, 1e6))
      return invalid_error("logit_bias of token ", id, " is ", bias, ", expected -1e6 to 1e6");
  }
  return {};
}

TokenCounts::Count& TokenCounts::at(int32_t token) {
  const auto it = std::lower_bound(counts_.begin(), counts_.end(), token,
                                   [](const Count& count, int32_t id) { return count.token < id; });
  if (it != counts_.end() && it->token == token) return *it;
  return *counts_.insert(it, Count{token, 0, 0});
}

void TokenCounts::add_prompt(std::span<const int32_t> tokens) {
  std::vector<int32_t> sorted(tokens.begin(), tokens.end());
  std::sort(sorted.begin(), sorted.end());
  std::vector<Count> merged;
  for (size_t i = 0; i < sorted.size();) {
    size_t end = i;
    while (end < sorted.size() && sorted[end] == sorted[i]) ++end;
    merged.push_back({sorted[i], static_cast<int32_t>(end - i), 0});
    i = end;
  }
  for (const Count& old : counts_) {
    const auto it =
        std::lower_bound(merged.begin(), merged.end(), old.token,
                         [](const Count& count, int32_t id) { return count.token < id; });
    if (it != merged.end() && it->token == old.token) {
      it->in_prompt += old.in_prompt;
      it->in_answer += old.in_answer;
    } else {
      merged.insert(it, old);
    }
  }
  counts_ = std::move(merged);
}

void TokenCounts::add_answer(int32_t token) { ++at(token).in_answer; }

void keep_allowed(std::span<float> logits, std::span<const uint64_t> allowed) {
  if (allowed.empty()) return;
  for (size_t i = 0; i < logits.size(); ++i)
    if ((allowed[i / 64] >> (i % 64) & 1) == 0) logits[i] = kNever;
}

Sampler::Sampler(int64_t vocab_size) {
  adjusted_.resize(static_cast<size_t>(vocab_size));
  candidates_.reserve(static_cast<size_t>(vocab_size));
}

void Sampler::adjust(std::span<const float> logits, const SamplingParams& p,
                     const TokenCounts& counts, std::span<const int32_t> banned,
                     std::span<const uint64_t> allowed) {
  std::copy(logits.begin(), logits.end(), adjusted_.begin());
  // A NaN (weights that overflow) must not win or poison the order.
  for (float& logit : adjusted_) logit = std::isnan(logit) ? kNever : logit;
  for (const auto& [id, bias] : p.logit_bias) adjusted_[static_cast<size_t>(id)] += bias;
  if (p.repetition_penalty != 1.0 || p.presence_penalty != 0.0 || p.frequency_penalty != 0.0) {
    const float repetition = static_cast<float>(p.repetition_penalty);
    for (const auto& count : counts.counts()) {
      float& logit = adjusted_[static_cast<size_t>(count.token)];
      logit = logit > 0 ? logit / repetition : logit * repetition;
      if (count.in_answer > 0) {
        logit -= static_cast<float>(p.presence_penalty + p.frequency_penalty * count.in_answer);
      }
    }
  }
  for (const int32_t id : banned) adjusted_[static_cast<size_t>(id)] = kNever;
  keep_allowed(adjusted_, allowed);
}

// Sorts candidates_ as far as needed so that the first n of them hold top_p of the mass; returns n
// >= 1.
size_t Sampler::sort_nucleus(double top_p, double total, float largest) {
  double mass = 0;
  size_t counted = 0;
  for (size_t sorted = 0; sorted < candidates_.size();) {
    const size_t next = std::min(candidates_.size(), sorted == 0 ? kFirstSorted : sorted * 8);
    std::partial_sort(candidates_.begin() + static_cast<ptrdiff_t>(sorted),
                      candidates_.begin() + static_cast<ptrdiff_t>(next), candidates_.end(),
                      before);
    sorted = next;
    for (; counted < sorted; ++counted) {
      mass += double{exp_f32(candidates_[counted].logit - largest)};
      if (mass >= top_p * total) return counted + 1;
    }
  }
  return candidates_.size();
}

int32_t Sampler::sample(std::span<const float> logits, const SamplingParams& p,
                        const TokenCounts& counts, int64_t position,
                        std::span<const int32_t> banned, std::span<const uint64_t> allowed) {
  FATHOM_CHECK(logits.size() == adjusted_.size(), logits.size(), " logits");
  adjust(logits, p, counts, banned, allowed);
  const int64_t best = argmax_row(adjusted_.data(), static_cast<int64_t>(adjusted_.size()));
  if (p.temperature == 0) return static_cast<int32_t>(best);
  const float inverse = static_cast<float>(1.0 / p.temperature);
  const float largest = adjusted_[static_cast<size_t>(best)] * inverse;
  if (!std::isfinite(largest)) return static_cast<int32_t>(best);

  const float threshold = p.min_p > 0 ? largest + static_cast<float>(log_f64(p.min_p)) : kNever;
  candidates_.clear();
  for (size_t i = 0; i < adjusted_.size(); ++i) {
    const float logit = adjusted_[i] * inverse;
    if (logit > kNever && logit >= threshold)
      candidates_.push_back({logit, static_cast<int32_t>(i)});
  }
  if (p.top_k > 0 && static_cast<size_t>(p.top_k) < candidates_.size()) {
    std::partial_sort(candidates_.begin(), candidates_.begin() + static_cast<ptrdiff_t>(p.top_k),
                      candidates_.end(), before);
    candidates_.resize(static_cast<size_t>(p.top_k));
  }
  double total = 0;
  for (const Candidate& candidate : candidates_)
    total += double{exp_f32(candidate.logit - largest)};
  if (p.top_p < 1.0) {
    candidates_.resize(sort_nucleus(p.top_p, total, largest));
    total = 0;
    for (const Candidate& candidate : candidates_)
      total += double{exp_f32(candidate.logit - largest)};
  }
  const double target =
      counter_uniform(p.seed, static_cast<uint64_t>(p.choice), static_cast<uint64_t>(position)) *
      total;
  double mass = 0;
  for (const Candidate& candidate : candidates_) {
    mass += double{exp_f32(candidate.logit - largest)};
    if (mass > target) return candidate.id;
  }
  return candidates_.back().id;
}

float token_logprob(Isa isa, std::span<const float> logits, int32_t token) {
  const double norm = log_sum_exp_row(isa, logits.data(), static_cast<int64_t>(logits.size()));
  return static_cast<float>(double{logits[static_cast<size_t>(token)]} - norm);
}

void top_logprobs(Isa isa, std::span<const float> logits, int64_t n_top,
                  std::vector<TokenLogprob>& top) {
  const double norm = log_sum_exp_row(isa, logits.data(), static_cast<int64_t>(logits.size()));
  top.clear();
  const auto before = [&](int32_t a, int32_t b) {
    const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  };
  // n_top is small (20 by the API): keep the best so far in order.
  std::vector<int32_t> best;
  best.reserve(static_cast<size_t>(n_top) + 1);
  for (int32_t id = 0; id < static_cast<int32_t>(logits.size()); ++id) {
    if (static_cast<int64_t>(best.size()) == n_top && (n_top == 0 || !before(id, best.back())))
      continue;
    best.insert(std::upper_bound(best.begin(), best.end(), id, before), id);
    if (static_cast<int64_t>(best.size()) > n_top) best.pop_back();
  }
  for (const int32_t id : best) {
    top.push_back({id, static_cast<float>(double{logits[static_cast<size_t>(id)]} - norm)});
  }
}

}  // namespace fathom
