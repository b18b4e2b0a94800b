// The attention core of MLA (spec §2.2, §2.3; report §2.1.1) over a cache of latents, in two forms
// with equal mathematics and different orders (docs/numerics.md 5):
//   naive     expands keys and values of each head from the latent: fewer operations for many rows
//   (prompts); absorbed  folds kv_b_proj into the query and the output: one pass over the latents
//   (generated tokens).
// Keys are taken in blocks of 64 at absolute positions inside segments of 2,048 from position 0,
// blocks ascending with online softmax, each segment from its own first block, segments merged in
// ascending order. A row's result depends on its query, its position and the cached rows 0 ..
// position only. The kernels know positions and blocks of rows, not requests or pages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "kernels/linear.h"

namespace fathom {

inline constexpr int64_t kKvBlockRows = 64;
inline constexpr int64_t kKvSegmentRows = 2048;

// How the cache holds a row: the latent after its norm and the rope key after rotation, rounded
// once.
//   kF32, kBf16: kv_lora_rank + qk_rope_head_dim values.
//   kFp8: latent E4M3, then an F32 scale for each 128 latent values (or the rest), then the rope
//   key in BF16.
enum class KvDtype : uint8_t { kF32, kBf16, kFp8 };
struct KvLayout {
  KvDtype dtype = KvDtype::kF32;
  int64_t kv_lora_rank = 0;
  int64_t qk_rope_head_dim = 0;
  int64_t row_bytes() const;  // rounded up to a multiple of 4
  int64_t block_bytes() const { return row_bytes() * kKvBlockRows; }
};
// latent [kv_lora_rank], rope [qk_rope_head_dim] F32 -> one row of the cache.
void kv_write_row(Isa isa, const KvLayout& layout, const float* latent, const float* rope,
                  std::byte* row);
// One row back as F32 (exact).
void kv_read_row(Isa isa, const KvLayout& layout, const std::byte* row, float* latent, float* rope);

struct AttentionShape {
  int64_t n_heads = 0;
  int64_t qk_nope_head_dim = 0;
  int64_t qk_rope_head_dim = 0;
  int64_t v_head_dim = 0;
  int64_t kv_lora_rank = 0;
  float softmax_scale = 0;
  int64_t qk_head_dim() const { return qk_nope_head_dim + qk_rope_head_dim; }
};

// Consecutive positions of one sequence: rows [row_begin, row_begin + n_rows) of q and o stand at
// positions first_position, first_position + 1, ...; each attends to the cached rows 0 .. its own
// position, which are written.
struct AttentionJob {
  const std::byte* const* blocks =
      nullptr;  // blocks[p / 64] holds rows of positions 64*(p/64) .. +63 of one layer
  int64_t first_position = 0;
  int64_t row_begin = 0;
  int64_t n_rows = 0;
  bool absorbed = false;
};

// Scratch, sized once: no allocation in attention().
class AttentionWorkspace {
 public:
  AttentionWorkspace();
  // max_rows: rows in one call; max_context: positions; n_threads: of the pool that will be used.
  AttentionWorkspace(const AttentionShape& shape, const KvLayout& layout, int64_t max_rows,
                     int64_t max_context, int n_threads);
  ~AttentionWorkspace();
  AttentionWorkspace(AttentionWorkspace&&) noexcept;
  AttentionWorkspace& operator=(AttentionWorkspace&&) noexcept;
  struct State;
  State& state() { return *state_; }
  int64_t bytes() const;

 private:
  std::unique_ptr<State> state_;
};

// q [n_rows, n_heads, qk_nope + qk_rope] F32, rope part rotated; o [n_rows, n_heads, v_head_dim].
// kv_b [n_heads * (qk_nope + v), kv_lora_rank], per head qk_nope rows of W_UK then v rows of W_UV.
// Its input is the latent as the cache holds it, never quantised again: in the naive form F32 rows,
// or BF16 rows where the cache holds BF16; in the absorbed form W as float(q) * scale, q~ adding
// rows in ascending order with lanes along the latent, o = W_UV o~, all in F32. q.k, p.v, q~.c and
// p.c: F32 with KvDtype::kF32, else both operands rounded to BF16 and summed in F32; the sum of p
// that divides the result takes p before this rounding. compute.pool must be set, with no more
// threads than the workspace was made for. Threads share one row too: the naive form by heads, the
// absorbed form by heads and segments.
void attention(const Compute& compute, const AttentionShape& shape, const KvLayout& layout,
               const LinearWeight& kv_b, std::span<const AttentionJob> jobs, const float* q,
               float* o, AttentionWorkspace& workspace);

}  // namespace fathom
