// Checks, threads and dispatch of linear layers; the arithmetic is in ref/ and simd/.
#include "kernels/linear.h"

#include <algorithm>
#include <iterator>
#include <memory>

#include "base/check.h"
#include "base/math.h"
#include "kernels/elementwise.h"
#include "kernels/linear_plan.h"
#include "kernels/linear_table.h"
#include "kernels/quant.h"

namespace fathom {

namespace {

WeightType weight_type(Dtype dtype) {
  switch (dtype) {
    case Dtype::kF32:
      return WeightType::kF32;
    case Dtype::kF16:
      return WeightType::kF16;
    case Dtype::kBF16:
      return WeightType::kBf16;
    case Dtype::kF8E4M3:
      return WeightType::kE4m3;
    default:
      break;
  }
  FATHOM_CHECK(false, "no linear layer takes weights of type ", dtype_name(dtype));
}

bool accepts(Dtype weight, InputFormat format) {
  if (is_block_type(weight)) return quant_accepts(weight, format);
  switch (format) {
    case InputFormat::kF32:
      return true;
    case InputFormat::kBf16:
      return weight == Dtype::kBF16;
    case InputFormat::kBf16Rounded:
      return weight == Dtype::kF32 || weight == Dtype::kF16;
    case InputFormat::kBf16ForFp8:
    case InputFormat::kFp8:
    case InputFormat::kFp8Ue8m0:
      return weight == Dtype::kF8E4M3;
    default:
      return false;  // INT8
  }
}

void check_weight(const LinearInput& x, const LinearWeight& w) {
  FATHOM_CHECK(w.k == x.k(), "weight of ", w.k, " columns for an input of ", x.k());
  FATHOM_CHECK(w.data != nullptr || w.n == 0, "weight [", w.n, ", ", w.k, "] has no data");
  FATHOM_CHECK(accepts(w.dtype, x.format()), dtype_name(w.dtype), " weight for input format ",
               static_cast<int>(x.format()));
  FATHOM_CHECK(w.dtype != Dtype::kF8E4M3 || w.scale_inv != nullptr,
               "F8_E4M3 weight without scales");
  FATHOM_CHECK(w.n_segments == 1 || (w.n_segments == kMaxSegments && w.k % 1024 == 0), w.n_segments,
               " segments of ", w.k);
}

void check_rows(const LinearInput& x, const int32_t* rows, int64_t n_rows) {
  if (rows == nullptr) {
    FATHOM_CHECK(n_rows <= x.rows(), n_rows, " rows of an input of ", x.rows());
    return;
  }
  for (int64_t i = 0; i < n_rows; ++i) {
    FATHOM_CHECK(rows[i] >= 0 && rows[i] < x.rows(), "row ", rows[i], " of an input of ", x.rows());
  }
}

// What one thread needs while it computes a task: made when it first does, kept while it lives.
struct ThreadScratch {
  TileScratch tiles;
  alignas(64) float up[128 * 1024];  // of a SwiGLU
};
ThreadScratch& thread_scratch() {
  thread_local const std::unique_ptr<ThreadScratch> scratch = std::make_unique<ThreadScratch>();
  return *scratch;
}

// Rows [m_begin, m_end) of the list (or of the input, if rows is null) through columns [n_begin,
// n_end).
LinearRange range_of(const LinearInput& x, const LinearWeight& w, const int32_t* rows,
                     int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end, float* y,
                     int64_t ldy) {
  LinearRange args;
  const int64_t first = rows == nullptr ? m_begin : 0;
  if (x.tiled()) {
    args.tile = x.tile_input(first, rows == nullptr);
    args.tile_scratch = &thread_scratch().tiles;
  } else {
    args.x = x.row(first);
    args.x_stride = x.row_stride();
    args.pairs = x.paired();
  }
  args.x_scales = x.scales(first);
  args.x_scale_stride = x.scale_stride();
  args.rows = rows == nullptr ? nullptr : rows + m_begin;
  args.n_rows = m_end - m_begin;
  args.w_type = weight_type(w.dtype);
  args.w = static_cast<const char*>(w.data);
  args.k = w.k;
  args.w_scales = w.scale_inv;
  args.n_begin = n_begin;
  args.n_end = n_end;
  args.n_segments = w.n_segments;
  args.y = y;
  args.ldy = ldy;
  return args;
}

void compute_range(Isa isa, const LinearInput& x, const LinearWeight& w, const int32_t* rows,
                   int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end, float* y,
                   int64_t ldy) {
  if (is_block_type(w.dtype)) {
    quant_range(isa, x, w, rows, m_begin, m_end, n_begin, n_end, y, ldy);
    return;
  }
  linear_kernels(isa).range(range_of(x, w, rows, m_begin, m_end, n_begin, n_end, y, ldy));
}

// Tiles take weights from memory once for all rows that a task may have; vectors take 3, 6 or 12
// rows at a time.
TaskShape task_shape(Isa isa) {
  switch (isa) {
    case Isa::kAmx:
      return {.max_rows = kTaskRows, .free_rows = 32, .column_step = 32, .max_values = 0};
    case Isa::kAvx512:
      return {.max_rows = 96, .row_step = 12};
    case Isa::kAvx512Bf16:
      return {.max_rows = 96, .row_step = 12, .max_values = 3 << 18};
    default:
      return {};
  }
}

void glu_task(Isa isa, const LinearInput& x, const GluJob& job, const LinearTask& task) {
  float* up = thread_scratch().up;
  // Columns of gate and up that a task computes before it multiplies them: all for few rows, which
  // each range makes ready again; for many what stays in the cache.
  const int64_t n_rows = task.row_end - task.row_begin;
  const int64_t most = n_rows <= 64 ? 2048 : 256;
  const int64_t columns =
      std::min<int64_t>(most, std::size(thread_scratch().up) / n_rows / 32 * 32);
  for (int64_t n0 = task.n_begin; n0 < task.n_end; n0 += columns) {
    const int64_t n1 = std::min(task.n_end, n0 + columns);
    float* h = job.h + task.row_begin * job.ldh + n0;
    compute_range(isa, x, *job.gate, job.rows, task.row_begin, task.row_end, n0, n1, h, job.ldh);
    compute_range(isa, x, *job.up, job.rows, task.row_begin, task.row_end, n0, n1, up, columns);
    for (int64_t i = 0; i < n_rows; ++i) {
      silu_mul_row(isa, h + i * job.ldh, up + i * columns, h + i * job.ldh, n1 - n0);
    }
  }
}

}  // namespace

void linear(const Compute& compute, const LinearInput& x, std::span<const LinearJob> jobs) {
  while (!jobs.empty()) {
    const auto region = jobs.first(std::min<size_t>(jobs.size(), kMaxRegionJobs));
    LinearPlan plan(compute.pool->n_threads(), task_shape(compute.isa));
    for (const LinearJob& job : region) {
      check_weight(x, *job.weight);
      check_rows(x, job.rows, job.n_rows);
      FATHOM_CHECK(job.ldy >= job.weight->n, "ldy ", job.ldy, " for ", job.weight->n, " columns");
      plan.add(job.n_rows, job.weight->n, job.weight->k);
    }
    plan.finish();
    compute.pool->parallel_for(plan.n_tasks(), [&](int64_t index, int) {
      const LinearTask task = plan.task(index);
      const LinearJob& job = region[static_cast<size_t>(task.job)];
      compute_range(compute.isa, x, *job.weight, job.rows, task.row_begin, task.row_end,
                    task.n_begin, task.n_end, job.y + task.row_begin * job.ldy + task.n_begin,
                    job.ldy);
    });
    jobs = jobs.subspan(region.size());
  }
}

void linear(const Compute& compute, const LinearInput& x, const LinearWeight& w, float* y,
            int64_t ldy) {
  const LinearJob job{&w, nullptr, x.rows(), y, ldy};
  linear(compute, x, std::span(&job, 1));
}

void linear_glu(const Compute& compute, const LinearInput& x, std::span<const GluJob> jobs) {
  while (!jobs.empty()) {
    const auto region = jobs.first(std::min<size_t>(jobs.size(), kMaxRegionJobs));
    LinearPlan plan(compute.pool->n_threads(), task_shape(compute.isa));
    for (const GluJob& job : region) {
      check_weight(x, *job.gate);
      check_weight(x, *job.up);
      check_rows(x, job.rows, job.n_rows);
      FATHOM_CHECK(job.gate->n == job.up->n, "gate of ", job.gate->n, " rows, up of ", job.up->n);
      FATHOM_CHECK(job.ldh >= job.gate->n, "ldh ", job.ldh, " for ", job.gate->n, " columns");
      plan.add(job.n_rows, job.gate->n, job.gate->k, 2);
    }
    plan.finish();
    compute.pool->parallel_for(plan.n_tasks(), [&](int64_t index, int) {
      const LinearTask task = plan.task(index);
      glu_task(compute.isa, x, region[static_cast<size_t>(task.job)], task);
    });
    jobs = jobs.subspan(region.size());
  }
}

void linear_range(Isa isa, const LinearInput& x, const LinearWeight& w, int64_t m_begin,
                  int64_t m_end, int64_t n_begin, int64_t n_end, float* y, int64_t ldy) {
  check_weight(x, w);
  FATHOM_CHECK(m_begin >= 0 && m_begin <= m_end && m_end <= x.rows(), "rows ", m_begin, " to ",
               m_end, " of ", x.rows());
  FATHOM_CHECK(n_begin >= 0 && n_begin <= n_end && n_end <= w.n, "columns ", n_begin, " to ", n_end,
               " of ", w.n);
  compute_range(isa, x, w, nullptr, m_begin, m_end, n_begin, n_end, y, ldy);
}

int64_t linear_thread_bytes() { return sizeof(ThreadScratch); }

float weight_at(const LinearWeight& w, int64_t row, int64_t col) {
  FATHOM_CHECK(row >= 0 && row < w.n && col >= 0 && col < w.k, "element [", row, ", ", col,
               "] of [", w.n, ", ", w.k, "]");
  float value = 0.0f;
  if (is_block_type(w.dtype)) {
    quant_row(w, row, col, col + 1, &value);
    return value;
  }
  const WeightType type = weight_type(w.dtype);
  WeightRow args;
  args.w_type = type;
  args.w = static_cast<const char*>(w.data) + (row * w.k + col) * weight_type_bytes(type);
  args.k = 1;
  if (type == WeightType::kE4m3) {
    args.scales =
        w.scale_inv + row / kLinearBlock * ceil_div(w.k, kLinearBlock) + col / kLinearBlock;
  }
  args.out = &value;
  ref::weight_row(args);
  return value;
}

void weight_row(Isa isa, const LinearWeight& w, int64_t row, float* out) {
  FATHOM_CHECK(row >= 0 && row < w.n, "row ", row, " of ", w.n);
  if (is_block_type(w.dtype)) {
    quant_row(w, row, 0, w.k, out);
    return;
  }
  WeightRow args;
  args.w_type = weight_type(w.dtype);
  args.w = static_cast<const char*>(w.data) + row * w.k * weight_type_bytes(args.w_type);
  args.k = w.k;
  if (args.w_type == WeightType::kE4m3)
    args.scales = w.scale_inv + row / kLinearBlock * ceil_div(w.k, kLinearBlock);
  args.out = out;
  linear_kernels(isa).weight_row(args);
}

}  // namespace fathom
