// Measures what drafts by the MTP module bring where a given share of them is right (spec §2.8),
// beside what the times of the steps promise: with one draft a step gives 1 + a tokens and takes a
// pass over two rows and one of the module, t2 + t_module, in place of t1 for each token. The
// module runs as it does in earnest; its draft is then replaced by the token that will be drawn, or
// by another one, as a number of the position says. So weights of any kind will do, random ones
// too.
#pragma once

#include <cstdint>
#include <functional>

#include "base/result.h"
#include "engine/engine.h"
#include "kernels/machine_limits.h"
#include "model/transformer.h"

namespace fathom {

struct DraftBenchOptions {
  double acceptance = 0.85;  // 0 to 1
  int64_t tokens = 48;       // of an answer
  int64_t repeat = 5;        // answers without and with drafts, in turns; medians count
  AttentionForm attention = AttentionForm::kAuto;
  uint64_t seed = 1;
  std::function<void()> on_run = {};  // called after each pair
};

struct DraftBenchResult {
  double acceptance = 0;  // as it came out: of the drafts that were verified
  double plain_tokens_per_s = 0;
  double drafts_tokens_per_s = 0;
  // Seconds of a pass over one row, over two, and of the module over two, logits included.
  double t1 = 0, t2 = 0, t_module = 0;
  MachineLimits before = {}, after = {};  // set by whoever measures them

  double gain() const { return drafts_tokens_per_s / plain_tokens_per_s; }
  double expected_gain() const { return (1 + acceptance) * t1 / (t2 + t_module); }
};

// What it needs of a transformer, and of the caches.
WorkspaceLimits draft_bench_limits(const DraftBenchOptions& options);
int64_t draft_bench_kv_bytes(const DraftBenchOptions& options, const KvLayout& layout,
                             int64_t n_layers);

// model has an MTP module and (at least) those limits. Fails if weights cannot be read.
Result<DraftBenchResult> bench_drafts(Transformer& model, const DraftBenchOptions& options);

}  // namespace fathom
