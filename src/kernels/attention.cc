#include "kernels/attention.h"

#include <algorithm>

#include "base/check.h"
#include "base/math.h"
#include "kernels/attention_state.h"
#include "kernels/kernel_sets.h"

namespace fathom {

const AttentionTable& attention_kernels(Isa isa) { return *kernel_set(isa).attention; }

namespace {

AttentionScratch make_scratch(const AttentionShape& shape, bool pairs, int64_t max_rows) {
  const int64_t rank = shape.kv_lora_rank;
  const int64_t row = rank + shape.qk_rope_head_dim;
  const int64_t head_units = units_of(pairs, shape.qk_head_dim());
  const int64_t row_units = units_of(pairs, row);
  constexpr int64_t kBlocks = kExpandKeys / kBlockKeys;
  AttentionScratch scratch;
  scratch.rows = Buffer<float>(kBlockKeys * row);
  scratch.units = Buffer<float>(kBlockKeys * std::max(head_units, row_units));
  scratch.expanded = Buffer<float>(kExpandKeys * (shape.qk_nope_head_dim + shape.v_head_dim));
  scratch.keys = Buffer<float>(kBlockKeys * std::max(kBlocks * head_units, row_units));
  if (pairs) {
    scratch.values = Buffer<float>(kBlockKeys / 2 * std::max(rank, kBlocks * shape.v_head_dim));
  }
  scratch.weights = Buffer<float>(kWeightRows * rank);
  scratch.q = Buffer<float>(std::max(max_rows * head_units, kGroupRows * row));
  scratch.m = Buffer<float>(max_rows);
  scratch.l = Buffer<float>(max_rows);
  scratch.o = Buffer<float>(max_rows * shape.v_head_dim);
  return scratch;
}

int64_t scratch_bytes(const AttentionScratch& s) {
  return s.rows.bytes() + s.units.bytes() + s.expanded.bytes() + s.keys.bytes() + s.values.bytes() +
         s.weights.bytes() + s.q.bytes() + s.m.bytes() + s.l.bytes() + s.o.bytes();
}

void check_call(const AttentionCall& call) {
  const AttentionShape& shape = call.shape;
  const AttentionShape& room = call.state.shape;
  FATHOM_CHECK(shape.n_heads == room.n_heads && shape.qk_nope_head_dim == room.qk_nope_head_dim &&
                   shape.qk_rope_head_dim == room.qk_rope_head_dim &&
                   shape.v_head_dim == room.v_head_dim && shape.kv_lora_rank == room.kv_lora_rank &&
                   call.layout.dtype == call.state.layout.dtype,
               "the workspace was made for another shape");
  FATHOM_CHECK(call.layout.kv_lora_rank == shape.kv_lora_rank &&
                   call.layout.qk_rope_head_dim == shape.qk_rope_head_dim,
               "cache rows of ", call.layout.kv_lora_rank, " + ", call.layout.qk_rope_head_dim);
  FATHOM_CHECK(call.kv_b.n == shape.n_heads * (shape.qk_nope_head_dim + shape.v_head_dim) &&
                   call.kv_b.k == shape.kv_lora_rank,
               "kv_b [", call.kv_b.n, ", ", call.kv_b.k, "]");
  FATHOM_CHECK(call.compute.pool != nullptr, "attention needs a pool");
  const int n_threads = call.compute.pool->n_threads();
  FATHOM_CHECK(n_threads <= static_cast<int>(call.state.threads.size()), n_threads,
               " threads in a workspace for ", call.state.threads.size());
  int64_t n_rows = 0;
  for (const AttentionJob& job : call.jobs) {
    FATHOM_CHECK(job.n_rows >= 0 && job.first_position >= 0 &&
                     job.first_position + job.n_rows <= call.state.max_context,
                 "positions ", job.first_position, " + ", job.n_rows, " of at most ",
                 call.state.max_context);
    n_rows += job.n_rows;
  }
  FATHOM_CHECK(n_rows <= call.state.max_rows, n_rows, " rows in a workspace for ",
               call.state.max_rows);
}

}  // namespace

AttentionWorkspace::AttentionWorkspace() = default;
AttentionWorkspace::~AttentionWorkspace() = default;
AttentionWorkspace::AttentionWorkspace(AttentionWorkspace&&) noexcept = default;
AttentionWorkspace& AttentionWorkspace::operator=(AttentionWorkspace&&) noexcept = default;

AttentionWorkspace::AttentionWorkspace(const AttentionShape& shape, const KvLayout& layout,
                                       int64_t max_rows, int64_t max_context, int n_threads)
    : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.shape = shape;
  s.layout = layout;
  s.max_rows = max_rows;
  s.max_context = max_context;
  s.max_partials = std::max(kGroupPartials, ceil_div(max_context, kKvSegmentRows));
  const int64_t units = units_of(s.pairs(), shape.kv_lora_rank + shape.qk_rope_head_dim);
  for (int i = 0; i < n_threads; ++i) s.threads.push_back(make_scratch(shape, s.pairs(), max_rows));
  const int64_t segment_rows = std::min(max_context, kKvSegmentRows);
  s.latents = LinearInput(segment_rows, shape.kv_lora_rank);
  s.rope_keys = Buffer<float>(segment_rows * shape.qk_rope_head_dim);
  s.m_all = Buffer<float>(shape.n_heads * max_rows);
  s.l_all = Buffer<float>(shape.n_heads * max_rows);
  s.rows.resize(static_cast<size_t>(kGroupRows));
  s.units.resize(static_cast<size_t>(kGroupRows));
  s.q_absorbed = Buffer<float>(kGroupRows * shape.n_heads * units);
  s.partial_m = Buffer<float>(s.max_partials * shape.n_heads);
  s.partial_l = Buffer<float>(s.max_partials * shape.n_heads);
  s.partial_o = Buffer<float>(s.max_partials * shape.n_heads * shape.kv_lora_rank);
}

int64_t AttentionWorkspace::bytes() const {
  if (state_ == nullptr) return 0;
  int64_t bytes = state_->latents.bytes() + state_->rope_keys.bytes() + state_->m_all.bytes() +
                  state_->l_all.bytes() + state_->q_absorbed.bytes() + state_->partial_m.bytes() +
                  state_->partial_l.bytes() + state_->partial_o.bytes();
  for (const AttentionScratch& scratch : state_->threads) bytes += scratch_bytes(scratch);
  return bytes;
}

void attention(const Compute& compute, const AttentionShape& shape, const KvLayout& layout,
               const LinearWeight& kv_b, std::span<const AttentionJob> jobs, const float* q,
               float* o, AttentionWorkspace& workspace) {
  const AttentionCall call = {
      compute, attention_kernels(compute.isa), shape, layout, kv_b, jobs, q, o, workspace.state()};
  check_call(call);
  attend_naive(call);
  attend_absorbed(call);
}

}  // namespace fathom
