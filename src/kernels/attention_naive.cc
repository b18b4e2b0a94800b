// The naive form: each task takes one head and a range of a job's rows, expands the latents of one
// block after the other to the head's keys and values, and runs all its rows against the block.
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

// What enters kv_b: the latent as the cache holds it, never rounded again (numerics 7).
InputFormat latent_format(KvDtype kv_dtype, Dtype weight) {
  if (kv_dtype != KvDtype::kBf16) return InputFormat::kF32;
  return input_format(Activations::kBf16, weight);
}

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

// Keys and values of this head for the first n_keys rows of a block.
void expand_block(const NaiveTask& task, const std::byte* block, int64_t n_keys, AttendArgs& args) {
  const AttentionCall& call = task.call;
  const AttentionShape& shape = call.shape;
  AttentionScratch& scratch = task.scratch;
  const int64_t nope = shape.qk_nope_head_dim;
  const int64_t row_stride = shape.kv_lora_rank + shape.qk_rope_head_dim;
  read_block(call, block, n_keys, scratch);
  scratch.latents.begin(call.compute.isa, n_keys, shape.kv_lora_rank,
                        latent_format(call.layout.dtype, call.kv_b.dtype));
  scratch.latents.prepare_rows(scratch.rows.data(), row_stride, 0, n_keys);
  const int64_t width = nope + shape.v_head_dim;
  linear_range(call.compute.isa, scratch.latents, call.kv_b, 0, n_keys, task.head * width,
               (task.head + 1) * width, scratch.expanded.data(), width);

  const int64_t units = task.qk_units();
  for (int64_t j = 0; j < n_keys; ++j) {
    float* row = scratch.units.data() + j * units;
    const float* expanded = scratch.expanded.data() + j * width;
    const float* rope = scratch.rows.data() + j * row_stride + shape.kv_lora_rank;
    if (!call.state.pairs()) {
      std::copy_n(expanded, nope, row);
      std::copy_n(rope, shape.qk_rope_head_dim, row + nope);
      continue;
    }
    row[units - 1] = 0.0f;
    auto* halves = reinterpret_cast<uint16_t*>(row);
    call.kernels.to_bf16(expanded, halves, nope);
    call.kernels.to_bf16(rope, halves + nope, shape.qk_rope_head_dim);
  }
  call.kernels.transpose(scratch.units.data(), units, n_keys, units, scratch.keys.data());

  if (!call.state.pairs()) {
    args.values = scratch.expanded.data() + nope;
    args.value_stride = width;
    return;
  }
  // The rows of keys are packed: their memory takes the values on their way to pairs.
  const int64_t value_row = round_up(shape.v_head_dim, 2);
  auto* halves = reinterpret_cast<uint16_t*>(scratch.expanded.data());
  for (int64_t j = 0; j < n_keys; ++j) {
    call.kernels.to_bf16(scratch.expanded.data() + j * width + nope, halves + j * value_row,
                         shape.v_head_dim);
  }
  call.kernels.interleave(halves, value_row, n_keys, shape.v_head_dim, scratch.values.data());
  args.values = scratch.values.data();
  args.value_stride = shape.v_head_dim;
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
      s.m_all[i] = s.m[i];
      s.l_all[i] = s.l[i];
    } else {
      task.call.kernels.merge(&s.m_all[i], &s.l_all[i], o + i * o_stride, s.m[i], s.l[i], part,
                              dims);
    }
  }
}

void run_task(const NaiveTask& task) {
  const AttentionShape& shape = task.call.shape;
  AttentionScratch& scratch = task.scratch;
  const int64_t o_stride = shape.n_heads * shape.v_head_dim;
  float* o =
      task.call.o + (task.job.row_begin + task.row_begin) * o_stride + task.head * shape.v_head_dim;
  AttendArgs args;
  args.pairs = task.call.state.pairs();
  args.q_units = task.qk_units();
  args.keys = scratch.keys.data();
  args.v_dims = shape.v_head_dim;
  args.count_step = 1;
  args.softmax_scale = shape.softmax_scale;
  args.o_stride = shape.v_head_dim;
  pack_queries(task, args);
  const float* queries = args.q;

  const int64_t n_positions = task.first_position() + task.n_rows();
  for (int64_t segment = 0; segment * kKvSegmentRows < n_positions; ++segment) {
    const int64_t segment_end = std::min((segment + 1) * kKvSegmentRows, n_positions);
    const int64_t segment_row =
        std::max<int64_t>(0, segment * kKvSegmentRows - task.first_position());
    std::fill(&scratch.m[0] + segment_row, &scratch.m[0] + task.n_rows(),
              -std::numeric_limits<float>::infinity());
    std::fill(&scratch.l[0] + segment_row, &scratch.l[0] + task.n_rows(), 0.0f);
    std::fill(&scratch.o[0] + segment_row * shape.v_head_dim,
              &scratch.o[0] + task.n_rows() * shape.v_head_dim, 0.0f);
    for (int64_t begin = segment * kKvSegmentRows; begin < segment_end; begin += kBlockKeys) {
      expand_block(task, task.job.blocks[begin / kBlockKeys],
                   std::min(kBlockKeys, segment_end - begin), args);
      const int64_t first =
          std::max<int64_t>(0, begin - task.first_position());  // earlier rows end before the block
      args.n_queries = task.n_rows() - first;
      args.q = queries + first * args.q_stride;
      args.first_count = task.first_position() + first - begin + 1;
      args.m = scratch.m.data() + first;
      args.l = scratch.l.data() + first;
      args.o = scratch.o.data() + first * shape.v_head_dim;
      task.call.kernels.attend(args);
    }
    end_segment(task, segment, segment_row, o, o_stride);
  }
  for (int64_t i = 0; i < task.n_rows(); ++i) {
    task.call.kernels.finish(o + i * o_stride, scratch.l_all[i], o + i * o_stride,
                             shape.v_head_dim);
  }
}

}  // namespace

void attend_naive(const AttentionCall& call) {
  const int64_t n_heads = call.shape.n_heads;
  int64_t n_jobs = 0;
  for (const AttentionJob& job : call.jobs) {
    if (job.absorbed || job.n_rows == 0) continue;
    ++n_jobs;
  }
  if (n_jobs == 0) return;
  // Row ranges only where heads alone do not keep the threads busy: each range expands its blocks
  // again.
  const int n_threads = call.compute.pool->n_threads();
  const int64_t wanted = ceil_div(2 * int64_t{n_threads}, n_jobs * n_heads);
  const auto ranges_of = [&](const AttentionJob& job) {
    return std::clamp<int64_t>(std::min(wanted, job.n_rows / kMinRangeRows), 1, job.n_rows);
  };
  // task_begin runs over the jobs of this form that have rows; there are at most as many as rows.
  int64_t n_tasks = 0;
  int64_t index = 0;
  for (const AttentionJob& job : call.jobs) {
    if (job.absorbed || job.n_rows == 0) continue;
    call.state.task_begin[static_cast<size_t>(index++)] = n_tasks;
    n_tasks += n_heads * ranges_of(job);
  }
  call.state.task_begin[static_cast<size_t>(index)] = n_tasks;

  call.compute.pool->parallel_for(n_tasks, [&](int64_t task, int thread) {
    const auto begin = call.state.task_begin.begin();
    const int64_t wanted_job = std::upper_bound(begin, begin + n_jobs, task) - begin - 1;
    int64_t at = -1;
    const AttentionJob* job = nullptr;
    for (const AttentionJob& candidate : call.jobs) {
      if (candidate.absorbed || candidate.n_rows == 0) continue;
      if (++at == wanted_job) {
        job = &candidate;
        break;
      }
    }
    const int64_t local = task - begin[wanted_job];
    const int64_t n_ranges = ranges_of(*job);
    const int64_t range_rows = ceil_div(job->n_rows, n_ranges);
    const int64_t row_begin = std::min(job->n_rows, local % n_ranges * range_rows);
    const int64_t row_end = std::min(job->n_rows, row_begin + range_rows);
    if (row_begin == row_end) return;
    run_task({call, *job, local / n_ranges, row_begin, row_end,
              call.state.threads[static_cast<size_t>(thread)]});
  });
}

}  // namespace fathom
