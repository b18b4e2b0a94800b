// How the memory that the caller allows is divided when a model is loaded: whether the weights stay
// where they are or experts are streamed, how long a pass may be, and what the caches get.
#pragma once

#include <cstdint>
#include <optional>

#include "engine/engine.h"
#include "engine/streamed_weights.h"
#include "kernels/attention.h"
#include "model/config.h"
#include "model/weights.h"
#include "model/workspace.h"

namespace fathom {

struct LoadPlanOptions {
  std::optional<int64_t> max_memory;    // of everything
  std::optional<int64_t> expert_slots;  // stream with so many, whatever max_memory says
  int64_t context = 0;
  int64_t max_running = 1;
  int n_threads = 1;
  int64_t prefill_rows = kPrefillRows;
  KvDtype kv_dtype = KvDtype::kBf16;
  std::optional<int64_t> kv_memory = {};  // of the caches
};

struct LoadPlan {
  bool streams = false;
  int64_t prefill_rows = 0;  // at most what was asked for
  WorkspaceLimits limits;
  int64_t kv_bytes = 0;
  int64_t later_bytes = 0;  // what will be taken beside caches and scratch: logits, threads' own
};

// weights are not changed.
Result<LoadPlan> plan_load(const ModelConfig& config, ModelWeights& weights,
                           const LoadPlanOptions& options);

}  // namespace fathom
