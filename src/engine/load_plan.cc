#include "engine/load_plan.h"

#include <algorithm>

#include "base/math.h"
#include "engine/engine.h"
#include "engine/kv_cache.h"
#include "engine/machine.h"

namespace fathom {

namespace {

// Where nobody says how much memory the caches may take, a batch gets as much as this many full
// contexts.
constexpr int64_t kDefaultFullContexts = 4;
// Longer passes read fewer bytes a token; shorter ones leave more room for experts. Scratch takes
// at most this share of what both have, down to passes of kShortPass rows; below that only what
// must be had is.
constexpr int64_t kScratchShare = 3;
constexpr int64_t kShortPass = 64;
// Without a limit: passes longer than kUsualPass only where scratch is less than this share of the
// weights.
constexpr int64_t kUsualPass = 512;
constexpr int64_t kScratchOfWeights = 4;
constexpr int64_t kShortestPass = 8;
// Caches of more than one context take at most this share of what experts and they have.
constexpr int64_t kCacheShare = 8;

class Planner {
 public:
  Planner(const ModelConfig& config, ModelWeights& weights, const LoadPlanOptions& options)
      : config_(config), weights_(weights), options_(options) {
    const int64_t n_layers = config.num_hidden_layers + static_cast<int64_t>(weights.mtp.size());
    one_context_ = ceil_div(options.context, kKvBlockRows) *
                   KvPool::bytes_per_block(kv_layout(config, options.kv_dtype), n_layers);
    const int64_t sequences = std::min(
        options.max_running, options.max_memory ? options.max_running : kDefaultFullContexts);
    wanted_ = options.kv_memory.value_or(one_context_ * std::max<int64_t>(1, sequences));
    one_context_ = std::min(one_context_, wanted_);
  }

  Result<LoadPlan> run() {
    LoadPlan plan = with_rows(options_.prefill_rows);
    plan.kv_bytes = wanted_;
    if (!options_.max_memory && !options_.expert_slots) {
      // Long passes are worth scratch that is small beside the weights.
      const int64_t all = weights_.checkpoint->total_bytes();
      for (int64_t rows = options_.prefill_rows / 2;
           rows >= kUsualPass && scratch(plan) > all / kScratchOfWeights; rows /= 2) {
        plan = with_rows(rows);
        plan.kv_bytes = wanted_;
      }
      return plan;
    }
    const StreamNeeds needs = stream_needs(config_, weights_);
    if (options_.expert_slots && needs.possible) {
      plan.streams = true;
      return plan;
    }
    if (!options_.max_memory) return plan;
    const int64_t limit = *options_.max_memory;
    const int64_t weights = weights_beyond_used(*weights_.checkpoint);
    const int64_t used = used_memory_bytes();
    const int64_t free = limit - memory_margin(limit) - used;
    if (!needs.possible || free - weights - taken(plan) >= one_context_)
      return plan_in_memory(used, weights);
    // A limit on data counts what is streamed, but not the pages of files.
    return plan_streaming(needs, std::min(free, left_of_data_limit() - memory_margin(limit)));
  }

 private:
  LoadPlan with_rows(int64_t prefill_rows) const {
    LoadPlan plan;
    plan.prefill_rows = prefill_rows;
    const int64_t answer_rows = kAnswerRows * options_.max_running;
    const int64_t max_rows = answer_rows + prefill_rows;
    plan.limits = {.max_rows = max_rows,
                   .max_sequences = max_rows,
                   .max_context = options_.context,
                   .max_logit_rows = std::max<int64_t>(answer_rows, 64)};
    plan.later_bytes = plan.limits.max_logit_rows * config_.vocab_size * int64_t{sizeof(float)} +
                       options_.n_threads * linear_thread_bytes();
    return plan;
  }
  int64_t scratch(const LoadPlan& plan) const { return Workspace::bytes(config_, plan.limits); }
  // All that a pass takes but caches.
  int64_t taken(const LoadPlan& plan) const {
    const int64_t rope = options_.context * config_.qk_rope_head_dim * int64_t{sizeof(float)};
    return scratch(plan) + attention_scratch(plan.limits) + rope + plan.later_bytes;
  }
  // Made to be asked, since it alone knows; its large parts are pages that nobody touches.
  int64_t attention_scratch(const WorkspaceLimits& limits) const {
    const AttentionShape shape = {.n_heads = config_.num_attention_heads,
                                  .qk_nope_head_dim = config_.qk_nope_head_dim,
                                  .qk_rope_head_dim = config_.qk_rope_head_dim,
                                  .v_head_dim = config_.v_head_dim,
                                  .kv_lora_rank = config_.kv_lora_rank,
                                  .softmax_scale = 0};
    const auto bytes = [&](int n_threads) {
      return AttentionWorkspace(shape, kv_layout(config_, options_.kv_dtype), limits.max_rows,
                                limits.max_context, n_threads)
          .bytes();
    };
    const int64_t shared = bytes(0);
    return shared + options_.n_threads * (bytes(1) - shared);
  }

  // All weights, and the longest pass that leaves room for a cache.
  Result<LoadPlan> plan_in_memory(int64_t used, int64_t weights) const {
    const int64_t limit = *options_.max_memory;
    LoadPlan plan = with_rows(options_.prefill_rows);
    const auto left = [&] { return limit - memory_margin(limit) - used - weights - taken(plan); };
    for (int64_t rows = options_.prefill_rows; left() < one_context_ && rows > kShortestPass;) {
      rows = std::max(rows / 2, kShortestPass);
      plan = with_rows(rows);
    }
    if (left() < one_context_) {
      const int64_t needed = used + weights + taken(plan) + one_context_;
      return exhausted_error("--max-memory ", readable_bytes(limit), " is too little: at least ",
                             readable_bytes(least_limit(needed)),
                             " are needed (program and weights ", readable_bytes(used + weights),
                             ", scratch ", readable_bytes(taken(plan)),
                             ", the cache of one context of ", options_.context, " tokens ",
                             readable_bytes(one_context_), "); give more, or a smaller --context");
    }
    plan.kv_bytes = std::min(wanted_, left());
    return plan;
  }

  // The longest pass that leaves enough for experts; what is too little for any is said by
  // StreamedWeights, which measures what scratch takes.
  Result<LoadPlan> plan_streaming(const StreamNeeds& needs, int64_t limit) const {
    LoadPlan plan = with_rows(options_.prefill_rows);
    const int64_t least = needs.dense_bytes + one_context_ + needs.min_slots * needs.slot_bytes;
    for (int64_t rows = options_.prefill_rows; rows > kShortestPass; rows = rows / 2) {
      plan = with_rows(rows);
      const int64_t share = (limit - needs.dense_bytes - one_context_) / kScratchShare;
      if (least + taken(plan) <= limit && (taken(plan) <= share || rows <= kShortPass)) break;
    }
    plan.streams = true;
    const int64_t left = limit - least - taken(plan);
    plan.kv_bytes =
        one_context_ + std::clamp<int64_t>(left / kCacheShare, 0, wanted_ - one_context_);
    return plan;
  }

  const ModelConfig& config_;
  ModelWeights& weights_;
  const LoadPlanOptions& options_;
  int64_t one_context_ = 0;
  int64_t wanted_ = 0;
};

}  // namespace

Result<LoadPlan> plan_load(const ModelConfig& config, ModelWeights& weights,
                           const LoadPlanOptions& options) {
  return Planner(config, weights, options).run();
}

}  // namespace fathom
