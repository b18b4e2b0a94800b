// The naive form. A job's keys are taken a segment at a time, in two parallel regions: the latents
// of the segment are made ready for kv_b once for all heads; then each task takes one head and a
// range of the job's rows, expands the latents of a few blocks to the head's keys and values, and
// runs its rows against them, some rows at a time, so that both stay in the second-level cache.
#include <algorithm>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "base/math.h"
#include "kernels/attention_state.h"

namespace fathom {
namespace {

// Fewer rows than this are not worth expanding a block once more.
constexpr int64_t kMinRangeRows = 64;

int64_t keys_size(const AttentionWorkspace::State& state) {
  return units_of(state.pairs(), state.shape.qk_head_dim()) * kBlockKeys;
}
int64_t values_size(const AttentionWorkspace::State& state) {
  return kBlockKeys / 2 * state.shape.v_head_dim;
}

// What enters kv_b: the latent as the cache holds it, never rounded again (numerics 7).
InputFormat latent_format(KvDtype kv_dtype, Dtype weight) {
  if (kv_dtype != KvDtype::kBf16) return InputFormat::kF32;
  return input_format(Activations::kBf16, weight);
}

// Blocks expanded at once, and rows that pass over them.
constexpr int64_t kExpandBlocks = 4;
constexpr int64_t kPassRows = 256;
static_assert(kExpandKeys == kExpandBlocks * kBlockKeys);

struct NaiveTask {
  const AttentionCall& call;
  const AttentionJob& job;
  int64_t head;
  int64_t row_begin;  // of the job
  int64_t row_end;
  AttentionScratch& scratch;

  int64_t n_rows() const { return row_end - row_begin; }
  int64_t first_position() const { return job.first_position + row_begin; }
  int64_t qk_units() const { return units_of(call.state.pairs(), call.shape.qk_head_dim()); }
  // The state of row i of the task before the current segment.
  float& m_all(int64_t i) const { return call.state.m_all[state_index(i)]; }
  float& l_all(int64_t i) const { return call.state.l_all[state_index(i)]; }
  int64_t state_index(int64_t i) const { return head * call.state.max_rows + row_begin + i; }
};

// The queries as units; without pairs they are used where they lie.
void pack_queries(const NaiveTask& task, AttendArgs& args) {
  const AttentionShape& shape = task.call.shape;
  const int64_t stride = shape.n_heads * shape.qk_head_dim();
  const float* q = task.call.q + (task.job.row_begin + task.row_begin) * stride +
                   task.head * shape.qk_head_dim();
  if (!task.call.state.pairs()) {
    args.q = q;
    args.q_stride = stride;
    return;
  }
  for (int64_t i = 0; i < task.n_rows(); ++i) {
    float* units = task.scratch.q.data() + i * task.qk_units();
    units[task.qk_units() - 1] = 0.0f;
    task.call.kernels.to_bf16(q + i * stride, reinterpret_cast<uint16_t*>(units),
                              shape.qk_head_dim());
  }
  args.q = task.scratch.q.data();
  args.q_stride = task.qk_units();
}

// Rows [0, n_rows) of a segment's block: the latent as the input of kv_b, the rope key beside.
void prepare_block(const AttentionCall& call, const std::byte* block, int64_t n_keys, int64_t first,
                   AttentionScratch& scratch) {
  const AttentionShape& shape = call.shape;
  const int64_t row_stride = shape.kv_lora_rank + shape.qk_rope_head_dim;
  read_block(call, block, n_keys, scratch);
  call.state.latents.prepare_rows(scratch.rows.data(), row_stride, first, first + n_keys);
  for (int64_t j = 0; j < n_keys; ++j) {
    std::copy_n(scratch.rows.data() + j * row_stride + shape.kv_lora_rank, shape.qk_rope_head_dim,
                call.state.rope_keys.data() + (first + j) * shape.qk_rope_head_dim);
  }
}

// Keys and values of one block from its expanded rows.
void pack_block(const NaiveTask& task, int64_t first, int64_t n_keys, float* expanded, float* keys,
                float* values) {
  const AttentionCall& call = task.call;
  const AttentionShape& shape = call.shape;
  const int64_t nope = shape.qk_nope_head_dim, width = nope + shape.v_head_dim;
  const int64_t units = task.qk_units();
  for (int64_t j = 0; j < n_keys; ++j) {
    float* row = task.scratch.units.data() + j * units;
    const float* rope = call.state.rope_keys.data() + (first + j) * shape.qk_rope_head_dim;
    if (!call.state.pairs()) {
      std::copy_n(expanded + j * width, nope, row);
      std::copy_n(rope, shape.qk_rope_head_dim, row + nope);
      continue;
    }
    row[units - 1] = 0.0f;
    auto* halves = reinterpret_cast<uint16_t*>(row);
    call.kernels.to_bf16(expanded + j * width, halves, nope);
    call.kernels.to_bf16(rope, halves + nope, shape.qk_rope_head_dim);
  }
  call.kernels.transpose(task.scratch.units.data(), units, n_keys, units, keys);
  if (!call.state.pairs()) return;
  // The rows of keys are packed: their memory takes the values on their way to pairs.
  const int64_t value_row = round_up(shape.v_head_dim, 2);
  auto* halves = reinterpret_cast<uint16_t*>(expanded);
  for (int64_t j = 0; j < n_keys; ++j)
    call.kernels.to_bf16(expanded + j * width + nope, halves + j * value_row, shape.v_head_dim);
  call.kernels.interleave(halves, value_row, n_keys, shape.v_head_dim, values);
}

// Keys and values of this head for n_keys rows of the segment from `first` on, whole blocks.
void expand(const NaiveTask& task, int64_t first, int64_t n_keys) {
  const AttentionCall& call = task.call;
  AttentionScratch& scratch = task.scratch;
  const int64_t width = call.shape.qk_nope_head_dim + call.shape.v_head_dim;
  linear_range(call.compute.isa, call.state.latents, call.kv_b, first, first + n_keys,
               task.head * width, (task.head + 1) * width, scratch.expanded.data(), width);
  for (int64_t j = 0; j < n_keys; j += kBlockKeys) {
    pack_block(task, first + j, std::min(kBlockKeys, n_keys - j),
               scratch.expanded.data() + j * width,
               scratch.keys.data() + j / kBlockKeys * keys_size(call.state),
               scratch.values.data() + j / kBlockKeys * values_size(call.state));
  }
}

// All rows of the task against the expanded blocks, which hold keys from position `begin` on.
void attend_blocks(const NaiveTask& task, int64_t begin, int64_t n_keys, AttendArgs args) {
  const AttentionShape& shape = task.call.shape;
  AttentionScratch& scratch = task.scratch;
  const float* queries = args.q;
  for (int64_t pass = 0; pass < task.n_rows(); pass += kPassRows) {
    const int64_t pass_end = std::min(pass + kPassRows, task.n_rows());
    for (int64_t j = 0; j < n_keys; j += kBlockKeys) {
      const int64_t position = begin + j;
      // Earlier rows end before the block.
      const int64_t first = std::max(pass, position - task.first_position());
      if (first >= pass_end) break;
      const int64_t block = j / kBlockKeys;
      args.keys = scratch.keys.data() + block * keys_size(task.call.state);
      if (task.call.state.pairs()) {
        args.values = scratch.values.data() + block * values_size(task.call.state);
        args.value_stride = shape.v_head_dim;
      } else {
        args.value_stride = shape.qk_nope_head_dim + shape.v_head_dim;
        args.values = scratch.expanded.data() + j * args.value_stride + shape.qk_nope_head_dim;
      }
      args.n_queries = pass_end - first;
      args.q = queries + first * args.q_stride;
      args.first_count = task.first_position() + first - position + 1;
      args.m = scratch.m.data() + first;
      args.l = scratch.l.data() + first;
      args.o = scratch.o.data() + first * shape.v_head_dim;
      task.call.kernels.attend(args);
    }
  }
}

// After the last block of a segment: rows from `begin` on take its state into their result.
void end_segment(const NaiveTask& task, int64_t segment, int64_t begin, float* o,
                 int64_t o_stride) {
  AttentionScratch& s = task.scratch;
  const int64_t dims = task.call.shape.v_head_dim;
  for (int64_t i = begin; i < task.n_rows(); ++i) {
    const float* part = s.o.data() + i * dims;
    if (segment == 0) {
      std::copy_n(part, dims, o + i * o_stride);
      task.m_all(i) = s.m[i];
      task.l_all(i) = s.l[i];
    } else {
      task.call.kernels.merge(&task.m_all(i), &task.l_all(i), o + i * o_stride, s.m[i], s.l[i],
                              part, dims);
    }
  }
}

void run_segment(const NaiveTask& task, int64_t segment) {
  const AttentionShape& shape = task.call.shape;
  AttentionScratch& scratch = task.scratch;
  const int64_t o_stride = shape.n_heads * shape.v_head_dim;
  float* o =
      task.call.o + (task.job.row_begin + task.row_begin) * o_stride + task.head * shape.v_head_dim;
  AttendArgs args;
  args.pairs = task.call.state.pairs();
  args.q_units = task.qk_units();
  args.v_dims = shape.v_head_dim;
  args.count_step = 1;
  args.softmax_scale = shape.softmax_scale;
  args.o_stride = shape.v_head_dim;
  pack_queries(task, args);

  const int64_t n_positions = task.first_position() + task.n_rows();
  const int64_t segment_begin = segment * kKvSegmentRows;
  const int64_t segment_end = std::min(segment_begin + kKvSegmentRows, n_positions);
  const int64_t segment_row = std::max<int64_t>(0, segment_begin - task.first_position());
  if (segment_begin < segment_end) {
    std::fill(&scratch.m[0] + segment_row, &scratch.m[0] + task.n_rows(),
              -std::numeric_limits<float>::infinity());
    std::fill(&scratch.l[0] + segment_row, &scratch.l[0] + task.n_rows(), 0.0f);
    std::fill(&scratch.o[0] + segment_row * shape.v_head_dim,
              &scratch.o[0] + task.n_rows() * shape.v_head_dim, 0.0f);
    for (int64_t begin = segment_begin; begin < segment_end; begin += kExpandKeys) {
      const int64_t n_keys = std::min(kExpandKeys, segment_end - begin);
      expand(task, begin - segment_begin, n_keys);
      attend_blocks(task, begin, n_keys, args);
    }
    end_segment(task, segment, segment_row, o, o_stride);
  }
  // The rows whose last segment this is.
  for (int64_t i = segment_row; i < task.n_rows(); ++i) {
    if (task.first_position() + i >= segment_begin + kKvSegmentRows) break;
    task.call.kernels.finish(o + i * o_stride, task.l_all(i), o + i * o_stride, shape.v_head_dim);
  }
}

// One job, segment by segment.
void attend_job(const AttentionCall& call, const AttentionJob& job) {
  const int64_t n_heads = call.shape.n_heads;
  // Row ranges only where heads alone do not keep the threads busy: each range expands its blocks
  // again.
  const int64_t wanted = ceil_div(2 * int64_t{call.compute.pool->n_threads()}, n_heads);
  const int64_t n_ranges =
      std::clamp<int64_t>(std::min(wanted, job.n_rows / kMinRangeRows), 1, job.n_rows);
  const int64_t range_rows = ceil_div(job.n_rows, n_ranges);
  const int64_t n_positions = job.first_position + job.n_rows;
  for (int64_t segment = 0; segment * kKvSegmentRows < n_positions; ++segment) {
    const int64_t begin = segment * kKvSegmentRows;
    const int64_t n_keys = std::min(kKvSegmentRows, n_positions - begin);
    call.state.latents.begin(call.compute.isa, n_keys, call.shape.kv_lora_rank,
                             latent_format(call.layout.dtype, call.kv_b.dtype));
    call.compute.pool->parallel_for(ceil_div(n_keys, kBlockKeys), [&](int64_t block, int thread) {
      const int64_t first = block * kBlockKeys;
      prepare_block(call, job.blocks[(begin + first) / kBlockKeys],
                    std::min(kBlockKeys, n_keys - first), first,
                    call.state.threads[static_cast<size_t>(thread)]);
    });
    call.compute.pool->parallel_for(n_heads * n_ranges, [&](int64_t index, int thread) {
      const int64_t row_begin = std::min(job.n_rows, index % n_ranges * range_rows);
      const int64_t row_end = std::min(job.n_rows, row_begin + range_rows);
      if (row_begin == row_end) return;
      run_segment({call, job, index / n_ranges, row_begin, row_end,
                   call.state.threads[static_cast<size_t>(thread)]},
                  segment);
    });
  }
}

}  // namespace

void attend_naive(const AttentionCall& call) {
  for (const AttentionJob& job : call.jobs) {
    if (!job.absorbed && job.n_rows > 0) attend_job(call, job);
  }
}

}  // namespace fathom
