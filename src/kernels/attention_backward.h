// The pass back through the naive form of attention (attention.h) over whole sequences, for
// training. Scores are computed again from queries, keys and values that stand expanded; a block of
// 64 queries meets a block of 64 keys at a time, so that no [T, T] matrix is held. Gradients of
// keys and values add over blocks of queries ascending, those of queries over blocks of keys
// ascending, those of the rope keys over heads ascending (docs/numerics.md 9).
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "kernels/attention.h"

namespace fathom {

// One sequence: row t stands at position t and has attended to rows 0 .. t.
struct AttentionBackwardJob {
  const float* q = nullptr;       // [n_rows, n_heads, qk_head_dim], the rope part rotated
  const float* kv = nullptr;      // [n_rows, n_heads, qk_nope_head_dim + v_head_dim]
  const float* k_rope = nullptr;  // [n_rows, qk_rope_head_dim], rotated
  const float* o = nullptr;       // [n_rows, n_heads, v_head_dim]: what attention gave
  const float* d_o = nullptr;     // the same shape
  float* d_q = nullptr;           // written, as q
  float* d_kv = nullptr;          // written, as kv
  float* d_k_rope = nullptr;      // written, as k_rope
  int64_t n_rows = 0;
};

// Scratch, taken once.
class AttentionBackwardWorkspace {
 public:
  AttentionBackwardWorkspace();
  // max_rows: of all jobs of a call; max_length: of one; n_threads: of the pool that will be used.
  AttentionBackwardWorkspace(const AttentionShape& shape, int64_t max_rows, int64_t max_length,
                             int n_threads);
  ~AttentionBackwardWorkspace();
  AttentionBackwardWorkspace(AttentionBackwardWorkspace&&) noexcept;
  AttentionBackwardWorkspace& operator=(AttentionBackwardWorkspace&&) noexcept;
  struct State;
  State& state() { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

// bf16: operands of all products are rounded to BF16, as with a BF16 cache; sums are F32.
void attention_backward(const Compute& compute, const AttentionShape& shape, bool bf16,
                        std::span<const AttentionBackwardJob> jobs,
                        AttentionBackwardWorkspace& workspace);

}  // namespace fathom
