// What one forward pass works on: pieces of sequences, each a run of consecutive positions of one
// cache. The model knows neither requests nor pages: the engine owns the caches and decides what
// stands together. A row's result is a function of its own sequence only (docs/numerics.md),
// whatever shares the batch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace fathom {

// The cached rows of one sequence, in blocks of 64 positions (kernels/attention.h), for each layer
// of the main model and then of the MTP modules. Implemented by the engine (engine/kv_cache.h).
class KvCacheView {
 public:
  virtual ~KvCacheView() = default;
  // blocks(layer)[p / 64] holds the rows of positions 64 * (p / 64) .. +63; valid for every
  // position of the pass.
  virtual std::byte* const* blocks(int64_t layer) = 0;
};

struct BatchSequence {
  std::span<const int32_t> tokens;  // ids within the vocabulary
  int64_t first_position = 0;       // of tokens[0]; rows before it are in the cache
  // The form of attention belongs to the position (docs/numerics.md 5): all positions of a piece
  // have one.
  bool absorbed = false;
  KvCacheView* kv = nullptr;
};

struct Batch {
  std::span<const BatchSequence> sequences;
  int64_t n_rows() const {
    int64_t n = 0;
    for (const auto& sequence : sequences) n += static_cast<int64_t>(sequence.tokens.size());
    return n;
  }
};

// Sees what happens inside, for `score --trace`, for the page's picture of the experts, and for
// tests. Rows are those of the batch. Called on the thread of the pass.
class ForwardObserver {
 public:
  virtual ~ForwardObserver() = default;
  // The residual stream after a layer, [n_rows, hidden_size].
  virtual void on_layer(int64_t layer, const float* x, int64_t n_rows) = 0;
  // The router's choice by falling biased score, both [n_rows, num_experts_per_tok].
  virtual void on_router(int64_t layer, const int32_t* indices, const float* weights,
                         int64_t n_rows) = 0;
};

}  // namespace fathom
