#include "kernels/wgrad.h"

#include <algorithm>

#include "base/check.h"
#include "base/math.h"
#include "kernels/kernel_sets.h"

namespace fathom {
namespace {

constexpr int64_t kPackedBytes = int64_t{24} << 20;  // of operands packed at a time
// A task's piece of dw: it stays in the second-level cache while blocks of rows pass.
constexpr int64_t kPieceN = 128, kPieceK = 512;

// 128 rows of a job, both operands.
struct Block {
  const WgradJob* job;
  int64_t first;  // row
  int64_t n_rows;
  int64_t dy_at, x_at;                // bytes into packed
  int64_t dy_scales_at, x_scales_at;  // into scales
};

// Blocks of one job that are packed together.
struct Group {
  const WgradJob* job;
  size_t block_begin, block_end;
  int64_t first_task;
  int64_t pieces_k;
};

struct Plan {
  std::vector<Block> blocks;
  std::vector<Group> groups;
  int64_t packed_bytes = 0, n_scales = 0, n_tasks = 0;

  bool add(const WgradJob& job, int64_t first) {
    const int64_t n_rows = std::min(kOuterRows, job.n_rows - first);
    const int64_t dy_bytes = round_up(outer_bytes(n_rows, job.n), kBufferAlignment);
    const int64_t x_bytes = round_up(outer_bytes(n_rows, job.k), kBufferAlignment);
    if (!blocks.empty() && packed_bytes + dy_bytes + x_bytes > kPackedBytes) return false;
    if (groups.empty() || groups.back().job != &job) {
      const int64_t pieces_k = ceil_div(job.k, kPieceK);
      groups.push_back({&job, blocks.size(), blocks.size(), n_tasks, pieces_k});
      n_tasks += ceil_div(job.n, kPieceN) * pieces_k;
    }
    blocks.push_back({&job, first, n_rows, packed_bytes, packed_bytes + dy_bytes, n_scales,
                      n_scales + round_up(job.n, kOuterStep)});
    ++groups.back().block_end;
    packed_bytes += dy_bytes + x_bytes;
    n_scales += round_up(job.n, kOuterStep) + round_up(job.k, kOuterStep);
    return true;
  }
};

class Products {
 public:
  Products(const Compute& compute, GradientPrecision precision, WgradWorkspace& workspace)
      : compute_(compute),
        precision_(precision),
        table_(*kernel_set(compute.isa).gradient),
        outer_(precision == GradientPrecision::kF32 ? table_.outer : table_.outer_bf16),
        workspace_(workspace) {}

  void run(const Plan& plan) {
    if (workspace_.packed.size() < plan.packed_bytes)
      workspace_.packed = Buffer<std::byte>(plan.packed_bytes);
    if (workspace_.scales.size() < plan.n_scales) workspace_.scales = Buffer<float>(plan.n_scales);
    compute_.pool->parallel_for(std::ssize(plan.blocks) * 2, [&](int64_t task, int thread) {
      pack(plan.blocks[static_cast<size_t>(task / 2)], task % 2 == 0, thread);
    });
    compute_.pool->parallel_for(plan.n_tasks, [&](int64_t task, int) { multiply(plan, task); });
  }

 private:
  // One operand of a block.
  void pack(const Block& block, bool is_dy, int thread) {
    const WgradJob& job = *block.job;
    const RowsView& rows = is_dy ? job.dy : job.x;
    const int32_t* const list = is_dy ? job.dy_rows : job.x_rows;
    const int64_t n = is_dy ? job.n : job.k;
    OuterPack args;
    args.n_t = block.n_rows;
    args.n = n;
    args.bf16 = precision_ != GradientPrecision::kF32;
    args.out = workspace_.packed.data() + (is_dy ? block.dy_at : block.x_at);
    const bool in_place = rows.format == SavedFormat::kF32 && list == nullptr &&
                          precision_ != GradientPrecision::kFp8;
    if (in_place) {
      args.x = static_cast<const float*>(rows.data) + block.first * rows.stride;
      args.ldx = rows.stride;
    } else {
      Buffer<float>& scratch = workspace_.rows[static_cast<size_t>(thread)];
      if (scratch.size() < kOuterRows * n) scratch = Buffer<float>(kOuterRows * n);
      for (int64_t t = 0; t < block.n_rows; ++t) {
        const int64_t row = list == nullptr ? block.first + t : list[block.first + t];
        read_row(compute_.isa, rows, row, n, scratch.data() + t * n);
      }
      if (precision_ == GradientPrecision::kFp8) {
        float* const scales =
            workspace_.scales.data() + (is_dy ? block.dy_scales_at : block.x_scales_at);
        table_.quantize_columns(scratch.data(), n, block.n_rows, n, scales);
      }
      args.x = scratch.data();
      args.ldx = n;
    }
    (is_dy ? outer_.pack_left : outer_.pack_right)(args);
  }

  // One piece of one job's dw through all its packed blocks.
  void multiply(const Plan& plan, int64_t task) {
    const auto after =
        std::upper_bound(plan.groups.begin(), plan.groups.end(), task,
                         [](int64_t t, const Group& group) { return t < group.first_task; });
    const Group& group = *(after - 1);
    const WgradJob& job = *group.job;
    const int64_t piece = task - group.first_task;
    OuterProduct args;
    args.m = job.n;
    args.n = job.k;
    args.m_begin = piece / group.pieces_k * kPieceN;
    args.m_end = std::min(job.n, args.m_begin + kPieceN);
    args.n_begin = piece % group.pieces_k * kPieceK;
    args.n_end = std::min(job.k, args.n_begin + kPieceK);
    args.add = true;
    args.c = job.dw + args.m_begin * job.k + args.n_begin;
    args.ldc = job.k;
    for (size_t b = group.block_begin; b < group.block_end; ++b) {
      const Block& block = plan.blocks[b];
      args.left = workspace_.packed.data() + block.dy_at;
      args.right = workspace_.packed.data() + block.x_at;
      args.n_t = block.n_rows;
      if (precision_ == GradientPrecision::kFp8) {
        args.left_scales = workspace_.scales.data() + block.dy_scales_at;
        args.right_scales = workspace_.scales.data() + block.x_scales_at;
      }
      outer_.multiply(args);
    }
  }

  Compute compute_;
  GradientPrecision precision_;
  const GradientTable& table_;
  const OuterKernels& outer_;
  WgradWorkspace& workspace_;
};

}  // namespace

void wgrad(const Compute& compute, GradientPrecision precision, std::span<const WgradJob> jobs,
           WgradWorkspace& workspace) {
  FATHOM_CHECK(std::ssize(workspace.rows) >= compute.pool->n_threads(), "workspace for ",
               workspace.rows.size(), " threads");
  Products products(compute, precision, workspace);
  Plan plan;
  for (const WgradJob& job : jobs) {
    FATHOM_CHECK(job.n_rows >= 0 && job.n > 0 && job.k > 0 && job.dw != nullptr, "dw [", job.n,
                 ", ", job.k, "] of ", job.n_rows, " rows");
    for (int64_t first = 0; first < job.n_rows; first += kOuterRows) {
      if (plan.add(job, first)) continue;
      products.run(plan);
      plan = {};
      plan.add(job, first);
    }
  }
  if (!plan.blocks.empty()) products.run(plan);
}

}  // namespace fathom
