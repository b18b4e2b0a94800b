// The absorbed form: kv_b folds into query and output, and all heads share the latents. Rows are
// taken in groups of at most kGroupRows, each in three parallel regions:
//   1. by head: q~ = W_UK^T q_nope for the group's rows;
//   2. by (unit, segment, heads): scores and sums over the latents of a segment, one partial result
//   for each row,
//      segment and head;
//   3. by head: partial results merged, segments ascending, then o = W_UV o~.
// How heads are divided over threads and rows over groups changes no bit: each row and head has its
// own sums.
#include <algorithm>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "base/math.h"
#include "kernels/attention_state.h"

namespace fathom {
namespace {

// Fewer heads than this do not pay for packing the block of latents once more.
constexpr int64_t kMinHeads = 16;

struct Group {
  int64_t n_rows = 0;
  int64_t n_units = 0;
  int64_t n_head_groups = 1;
  int64_t heads_per_group = 0;
  int64_t n_tasks = 0;
};

int64_t query_units(const AttentionCall& call) {
  return units_of(call.state.pairs(), call.shape.kv_lora_rank + call.shape.qk_rope_head_dim);
}

// Weights row_begin + [0, n) as F32.
void read_weights(const AttentionCall& call, int64_t row_begin, int64_t n, float* out) {
  for (int64_t r = 0; r < n; ++r) {
    weight_row(call.compute.isa, call.kv_b, row_begin + r, out + r * call.shape.kv_lora_rank);
  }
}

void absorb_query(const AttentionCall& call, const Group& group, int64_t head,
                  AttentionScratch& scratch) {
  const AttentionShape& shape = call.shape;
  const int64_t rank = shape.kv_lora_rank;
  const int64_t row = rank + shape.qk_rope_head_dim;
  const int64_t q_stride = shape.n_heads * shape.qk_head_dim();
  const int64_t first_weight = head * (shape.qk_nope_head_dim + shape.v_head_dim);
  std::fill_n(scratch.q.data(), group.n_rows * row, 0.0f);
  for (int64_t r = 0; r < shape.qk_nope_head_dim; r += kWeightRows) {
    const int64_t n = std::min(kWeightRows, shape.qk_nope_head_dim - r);
    read_weights(call, first_weight + r, n, scratch.weights.data());
    // The rows of a unit are neighbours in q.
    for (int64_t u = 0; u < group.n_units; ++u) {
      const AbsorbedUnit& unit = call.state.units[static_cast<size_t>(u)];
      const float* q = call.q + call.state.rows[static_cast<size_t>(unit.first)].row * q_stride;
      AccumulateArgs args;
      args.n_rows = unit.n;
      args.x = q + head * shape.qk_head_dim() + r;
      args.x_stride = q_stride;
      args.w = scratch.weights.data();
      args.w_stride = rank;
      args.n_steps = n;
      args.dims = rank;
      args.y = scratch.q.data() + unit.first * row;
      args.y_stride = row;
      call.kernels.accumulate(args);
    }
  }
  const int64_t units = query_units(call);
  for (int64_t i = 0; i < group.n_rows; ++i) {
    float* absorbed = scratch.q.data() + i * row;
    const float* q = call.q + call.state.rows[static_cast<size_t>(i)].row * q_stride +
                     head * shape.qk_head_dim();
    std::copy_n(q + shape.qk_nope_head_dim, shape.qk_rope_head_dim, absorbed + rank);
    float* out = call.state.q_absorbed.data() + (i * shape.n_heads + head) * units;
    if (call.state.pairs()) {
      out[units - 1] = 0.0f;
      call.kernels.to_bf16(absorbed, reinterpret_cast<uint16_t*>(out), row);
    } else {
      std::copy_n(absorbed, row, out);
    }
  }
}

// The first n_keys latents of a block as keys and values.
void pack_block(const AttentionCall& call, const std::byte* block, int64_t n_keys,
                AttentionScratch& scratch, AttendArgs& args) {
  const int64_t rank = call.shape.kv_lora_rank;
  const int64_t units = query_units(call);
  const float* rows = reinterpret_cast<const float*>(block);
  int64_t row_stride = call.layout.row_bytes() / 4;
  if (call.layout.dtype == KvDtype::kFp8) {
    const int64_t row = rank + call.shape.qk_rope_head_dim;
    read_block(call, block, n_keys, scratch);
    for (int64_t j = 0; j < n_keys; ++j) {
      float* out = scratch.units.data() + j * units;
      out[units - 1] = 0.0f;
      call.kernels.to_bf16(scratch.rows.data() + j * row, reinterpret_cast<uint16_t*>(out), row);
    }
    rows = scratch.units.data();
    row_stride = units;
  }
  call.kernels.transpose(rows, row_stride, n_keys, units, scratch.keys.data());
  if (!call.state.pairs()) {
    args.values = rows;
    args.value_stride = row_stride;
    return;
  }
  call.kernels.interleave(reinterpret_cast<const uint16_t*>(rows), 2 * row_stride, n_keys, rank,
                          scratch.values.data());
  args.values = scratch.values.data();
  args.value_stride = rank;
}

// One segment for some heads of all rows of a unit.
void attend_segment(const AttentionCall& call, const AbsorbedUnit& unit, int64_t segment,
                    int64_t head_begin, int64_t head_end, AttentionScratch& scratch) {
  const AttentionShape& shape = call.shape;
  const int64_t rank = shape.kv_lora_rank;
  const int64_t units = query_units(call);
  const int64_t n_heads = head_end - head_begin;
  const AbsorbedRow* rows = &call.state.rows[static_cast<size_t>(unit.first)];
  const AttentionJob& job = *rows[0].job;
  const int64_t segment_begin = segment * kKvSegmentRows;
  const int64_t segment_end =
      std::min(segment_begin + kKvSegmentRows, rows[unit.n - 1].position + 1);
  const auto partial = [&](const AbsorbedRow& row) {
    return (row.first_partial + segment) * shape.n_heads + head_begin;
  };
  for (int64_t i = 0; i < unit.n; ++i) {
    if (rows[i].position < segment_begin) continue;
    const int64_t at = partial(rows[i]);
    std::fill_n(call.state.partial_m.data() + at, n_heads, -std::numeric_limits<float>::infinity());
    std::fill_n(call.state.partial_l.data() + at, n_heads, 0.0f);
    std::fill_n(call.state.partial_o.data() + at * rank, n_heads * rank, 0.0f);
  }
  AttendArgs args;
  args.pairs = call.state.pairs();
  args.n_queries = n_heads;
  args.q_stride = units;
  args.q_units = units;
  args.keys = scratch.keys.data();
  args.v_dims = rank;
  args.softmax_scale = shape.softmax_scale;
  args.o_stride = rank;
  for (int64_t begin = segment_begin; begin < segment_end; begin += kBlockKeys) {
    pack_block(call, job.blocks[begin / kBlockKeys], std::min(kBlockKeys, segment_end - begin),
               scratch, args);
    for (int64_t i = 0; i < unit.n; ++i) {
      if (rows[i].position < begin) continue;
      const int64_t at = partial(rows[i]);
      args.q =
          call.state.q_absorbed.data() + ((unit.first + i) * shape.n_heads + head_begin) * units;
      args.first_count = rows[i].position + 1 - begin;
      args.m = call.state.partial_m.data() + at;
      args.l = call.state.partial_l.data() + at;
      args.o = call.state.partial_o.data() + at * rank;
      call.kernels.attend(args);
    }
  }
}

void finish_head(const AttentionCall& call, const Group& group, int64_t head,
                 AttentionScratch& scratch) {
  const AttentionShape& shape = call.shape;
  AttentionWorkspace::State& state = call.state;
  const int64_t rank = shape.kv_lora_rank;
  const auto partial_o = [&](const AbsorbedRow& row, int64_t segment) {
    return state.partial_o.data() + ((row.first_partial + segment) * shape.n_heads + head) * rank;
  };
  for (int64_t i = 0; i < group.n_rows; ++i) {
    const AbsorbedRow& row = state.rows[static_cast<size_t>(i)];
    const int64_t first = row.first_partial * shape.n_heads + head;
    for (int64_t s = 1; s < row.n_segments; ++s) {
      const int64_t at = first + s * shape.n_heads;
      call.kernels.merge(&state.partial_m[first], &state.partial_l[first], partial_o(row, 0),
                         state.partial_m[at], state.partial_l[at], partial_o(row, s), rank);
    }
    call.kernels.finish(partial_o(row, 0), state.partial_l[first], partial_o(row, 0), rank);
  }
  const int64_t first_weight =
      head * (shape.qk_nope_head_dim + shape.v_head_dim) + shape.qk_nope_head_dim;
  for (int64_t v = 0; v < shape.v_head_dim; v += kWeightRows) {
    const int64_t n = std::min(kWeightRows, shape.v_head_dim - v);
    read_weights(call, first_weight + v, n, scratch.weights.data());
    for (int64_t i = 0; i < group.n_rows; ++i) {
      const AbsorbedRow& row = state.rows[static_cast<size_t>(i)];
      call.kernels.dots(scratch.weights.data(), rank, n, partial_o(row, 0), rank,
                        call.o + (row.row * shape.n_heads + head) * shape.v_head_dim + v);
    }
  }
}

// Tasks of the second region: units in turn, each with its segments times its groups of heads.
void divide(const AttentionCall& call, Group& group) {
  int64_t n_segments = 0;
  for (int64_t u = 0; u < group.n_units; ++u)
    n_segments += call.state.units[static_cast<size_t>(u)].n_segments;
  const int64_t wanted = ceil_div(2 * int64_t{call.compute.pool->n_threads()}, n_segments);
  const int64_t n_heads = call.shape.n_heads;
  group.heads_per_group =
      std::min(n_heads, round_up(std::max(kMinHeads, ceil_div(n_heads, wanted)), kMinHeads));
  group.n_head_groups = ceil_div(n_heads, group.heads_per_group);
  group.n_tasks = 0;
  for (int64_t u = 0; u < group.n_units; ++u) {
    AbsorbedUnit& unit = call.state.units[static_cast<size_t>(u)];
    unit.first_task = group.n_tasks;
    group.n_tasks += unit.n_segments * group.n_head_groups;
  }
}

void run_group(const AttentionCall& call, Group& group) {
  Pool& pool = *call.compute.pool;
  divide(call, group);
  const auto scratch = [&](int thread) -> AttentionScratch& {
    return call.state.threads[static_cast<size_t>(thread)];
  };
  pool.parallel_for(call.shape.n_heads, [&](int64_t head, int thread) {
    absorb_query(call, group, head, scratch(thread));
  });
  pool.parallel_for(group.n_tasks, [&](int64_t task, int thread) {
    int64_t u = group.n_units - 1;
    while (call.state.units[static_cast<size_t>(u)].first_task > task) --u;
    const AbsorbedUnit& unit = call.state.units[static_cast<size_t>(u)];
    const int64_t local = task - unit.first_task;
    const int64_t head = local % group.n_head_groups * group.heads_per_group;
    attend_segment(call, unit, local / group.n_head_groups, head,
                   std::min(call.shape.n_heads, head + group.heads_per_group), scratch(thread));
  });
  pool.parallel_for(call.shape.n_heads, [&](int64_t head, int thread) {
    finish_head(call, group, head, scratch(thread));
  });
}

}  // namespace

void attend_absorbed(const AttentionCall& call) {
  AttentionWorkspace::State& state = call.state;
  Group group;
  int64_t n_partials = 0;
  const auto flush = [&] {
    if (group.n_rows > 0) run_group(call, group);
    group = Group{};
    n_partials = 0;
  };
  for (const AttentionJob& job : call.jobs) {
    if (!job.absorbed) continue;
    for (int64_t i = 0; i < job.n_rows; ++i) {
      AbsorbedRow row;
      row.job = &job;
      row.row = job.row_begin + i;
      row.position = job.first_position + i;
      row.n_segments = row.position / kKvSegmentRows + 1;
      if (group.n_rows == kGroupRows || n_partials + row.n_segments > state.max_partials) flush();
      row.first_partial = n_partials;
      n_partials += row.n_segments;
      const bool same_unit =
          group.n_rows > 0 && state.rows[static_cast<size_t>(group.n_rows - 1)].job == &job;
      if (!same_unit)
        state.units[static_cast<size_t>(group.n_units++)] = AbsorbedUnit{group.n_rows, 0, 0, 0};
      AbsorbedUnit& unit = state.units[static_cast<size_t>(group.n_units - 1)];
      ++unit.n;
      unit.n_segments = row.n_segments;
      state.rows[static_cast<size_t>(group.n_rows++)] = row;
    }
  }
  flush();
}

}  // namespace fathom
