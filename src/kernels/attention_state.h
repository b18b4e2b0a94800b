// What the two forms of attention share: the scratch of one thread, the call's arguments in one
// place, and packing of a block of the cache. Internal to kernels/attention*.cc.
#pragma once

#include <vector>

#include "base/math.h"
#include "kernels/attention.h"
#include "kernels/attention_args.h"

namespace fathom {

static_assert(kBlockKeys == kKvBlockRows);

const AttentionTable& attention_kernels(Isa isa);

// Rows of weights made F32 at a time in the absorbed form: small enough to stay in the nearest
// cache.
inline constexpr int64_t kWeightRows = 16;
// Query rows that the absorbed form takes at once, and partial results (rows times segments) it
// holds.
inline constexpr int64_t kGroupRows = 16;
inline constexpr int64_t kGroupPartials = 32;

// Keys that the naive form expands at once.
inline constexpr int64_t kExpandKeys = 256;

// Units of 32 bits for n values of the operands.
inline int64_t units_of(bool pairs, int64_t n) { return pairs ? ceil_div(n, 2) : n; }

struct AttentionScratch {
  Buffer<float> rows;      // one block of cache rows as F32 [64, kv_lora_rank + rope]
  Buffer<float> units;     // rows of operands before they are transposed [64, units]
  Buffer<float> expanded;  // naive: [kExpandKeys, nope + v]
  Buffer<float> keys;      // of one block [units, 64], in the naive form of kExpandKeys
  Buffer<float> values;    // pairs of keys [32, dims] of as many blocks
  Buffer<float> weights;   // absorbed: [kWeightRows, kv_lora_rank]
  Buffer<float>
      q;  // naive: the queries' units [max_rows, units]; absorbed: q~ of a head [kGroupRows, dims]
  Buffer<float> m, l,
      o;  // naive: state of the current segment [max_rows], [max_rows], [max_rows, v]
};

// One row of the absorbed form in the group being computed.
struct AbsorbedRow {
  const AttentionJob* job = nullptr;
  int64_t row = 0;  // of q and o
  int64_t position = 0;
  int64_t n_segments = 0;
  int64_t first_partial = 0;
};
// Rows first .. first + n - 1 of the group are consecutive positions of one job.
struct AbsorbedUnit {
  int64_t first = 0;
  int64_t n = 0;
  int64_t n_segments = 0;  // of its last row
  int64_t first_task = 0;
};

struct AttentionWorkspace::State {
  AttentionShape shape;
  KvLayout layout;
  int64_t max_rows = 0;
  int64_t max_context = 0;
  int64_t max_partials = 0;
  std::vector<AttentionScratch> threads;
  // Naive: the segment's latents as the input of kv_b, its rope keys, and the state of the segments
  // before, whose o is the result's memory.
  LinearInput latents;         // [2048, kv_lora_rank]
  Buffer<float> rope_keys;     // [2048, rope]
  Buffer<float> m_all, l_all;  // [n_heads, max_rows]
  std::vector<AbsorbedRow> rows;
  std::vector<AbsorbedUnit> units;
  Buffer<float> q_absorbed;            // [kGroupRows, n_heads, units of kv_lora_rank + rope]
  Buffer<float> partial_m, partial_l;  // [max_partials, n_heads]
  Buffer<float> partial_o;             // [max_partials, n_heads, kv_lora_rank]

  bool pairs() const { return layout.dtype != KvDtype::kF32; }
};

struct AttentionCall {
  const Compute& compute;
  const AttentionTable& kernels;
  const AttentionShape& shape;
  const KvLayout& layout;
  const LinearWeight& kv_b;
  std::span<const AttentionJob> jobs;
  const float* q;
  float* o;
  AttentionWorkspace::State& state;
};

// Rows [0, n_rows) of a block as F32: latents to scratch.rows at stride kv_lora_rank +
// qk_rope_head_dim, the rope key behind each.
void read_block(const AttentionCall& call, const std::byte* block, int64_t n_rows,
                AttentionScratch& scratch);

void attend_naive(const AttentionCall& call);
void attend_absorbed(const AttentionCall& call);

}  // namespace fathom
