#include "kernels/attention_backward.h"

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "base/check.h"
#include "base/math.h"
#include "kernels/kernel_sets.h"
#include "kernels/math.h"

namespace fathom {
namespace {

constexpr int64_t kBlock = kKvBlockRows;
// Scores of a block of queries are kept for so many blocks of keys; further ones are computed
// again.
constexpr int64_t kKeptBlocks = 64;

// What one thread needs for one head of one sequence. Operands are packed for outer products
// (gradient_table.h): by_d holds a block's rows transposed, d along the products; by_row as they
// are.
struct HeadScratch {
  HeadScratch(const AttentionShape& shape, int64_t max_length)
      : n_blocks(ceil_div(max_length, kBlock)),
        by_d_qk(round_up(outer_bytes(shape.qk_head_dim(), kBlock), kBufferAlignment)),
        by_d_v(round_up(outer_bytes(shape.v_head_dim, kBlock), kBufferAlignment)),
        by_row_qk(round_up(outer_bytes(kBlock, shape.qk_head_dim()), kBufferAlignment)),
        by_row_v(round_up(outer_bytes(kBlock, shape.v_head_dim), kBufferAlignment)),
        q_by_d(n_blocks * by_d_qk),
        k_by_d(n_blocks * by_d_qk),
        v_by_d(n_blocks * by_d_v),
        d_o_by_d(n_blocks * by_d_v),
        q_by_row(n_blocks * by_row_qk),
        k_by_row(n_blocks * by_row_qk),
        d_o_by_row(n_blocks * by_row_v),
        pairs(outer_bytes(kBlock, kBlock)),
        rows(kBlock * std::max(shape.qk_head_dim(), shape.v_head_dim)),
        transposed(std::max(rows.size(), kBlock * kBlock)),
        scores((std::min(n_blocks, kKeptBlocks) + 1) * kBlock * kBlock),
        d_scores(kBlock * kBlock),
        d_k(max_length * shape.qk_head_dim()),
        lse(n_blocks * kBlock),
        d(n_blocks * kBlock) {}

  int64_t n_blocks;
  int64_t by_d_qk, by_d_v, by_row_qk, by_row_v;  // bytes of one block
  Buffer<std::byte> q_by_d, k_by_d, v_by_d, d_o_by_d;
  Buffer<std::byte> q_by_row, k_by_row, d_o_by_row;
  Buffer<std::byte> pairs;  // a matrix of pairs of queries and keys, packed
  Buffer<float> rows, transposed;
  Buffer<float> scores;    // [kept blocks of keys and one, queries, keys] of a block of queries
  Buffer<float> d_scores;  // [queries, keys] of two blocks
  Buffer<float> d_k;       // [length, qk_head_dim]
  Buffer<float> lse, d;    // [length]
};

}  // namespace

struct AttentionBackwardWorkspace::State {
  State(const AttentionShape& shape, int64_t max_rows_in, int64_t max_length_in, int n_threads)
      : max_rows(max_rows_in),
        max_length(max_length_in),
        d_k_rope(max_rows_in * shape.n_heads * shape.qk_rope_head_dim) {
    for (int i = 0; i < n_threads; ++i) scratch.emplace_back(shape, max_length_in);
  }
  int64_t max_rows, max_length;
  Buffer<float> d_k_rope;  // [rows, n_heads, qk_rope_head_dim]
  std::vector<HeadScratch> scratch;
};

AttentionBackwardWorkspace::AttentionBackwardWorkspace() = default;
AttentionBackwardWorkspace::AttentionBackwardWorkspace(const AttentionShape& shape,
                                                       int64_t max_rows, int64_t max_length,
                                                       int n_threads)
    : state_(std::make_unique<State>(shape, max_rows, max_length, n_threads)) {}
AttentionBackwardWorkspace::~AttentionBackwardWorkspace() = default;
AttentionBackwardWorkspace::AttentionBackwardWorkspace(AttentionBackwardWorkspace&&) noexcept =
    default;
AttentionBackwardWorkspace& AttentionBackwardWorkspace::operator=(
    AttentionBackwardWorkspace&&) noexcept = default;

namespace {

// One head of one sequence.
class HeadBackward {
 public:
  HeadBackward(const Compute& compute, const AttentionShape& shape, bool bf16,
               const AttentionBackwardJob& job, int64_t head, HeadScratch& scratch)
      : shape_(shape),
        bf16_(bf16),
        job_(job),
        head_(head),
        s_(scratch),
        table_(*kernel_set(compute.isa).gradient),
        elementwise_(*kernel_set(compute.isa).elementwise),
        outer_(bf16 ? table_.outer_bf16 : table_.outer),
        transpose_rows_(kernel_set(compute.isa).attention->transpose) {}

  void run() {
    for (int64_t b = 0; b * kBlock < job_.n_rows; ++b) pack_block(b);
    for (int64_t i = 0; i * kBlock < job_.n_rows; ++i) {
      log_sums(i);
      for (int64_t j = 0; j <= i; ++j) pair(i, j);
    }
  }

 private:
  int64_t rows_of(int64_t block) const { return std::min(kBlock, job_.n_rows - block * kBlock); }
  const float* q_row(int64_t t) const {
    return job_.q + (t * shape_.n_heads + head_) * shape_.qk_head_dim();
  }
  const float* kv_row(int64_t t) const {
    return job_.kv + (t * shape_.n_heads + head_) * (shape_.qk_nope_head_dim + shape_.v_head_dim);
  }
  int64_t o_at(int64_t t) const { return (t * shape_.n_heads + head_) * shape_.v_head_dim; }

  // x [n_t, n] for products along t.
  void pack(bool left, const float* x, int64_t ldx, int64_t n_t, int64_t n, std::byte* out) const {
    OuterPack args;
    args.x = x;
    args.ldx = ldx;
    args.n_t = n_t;
    args.n = n;
    args.bf16 = bf16_;
    args.out = out;
    (left ? outer_.pack_left : outer_.pack_right)(args);
  }
  // Packs x [n_rows, n] for products along its columns.
  void pack_transposed(bool left, const float* x, int64_t ldx, int64_t n_rows, int64_t n,
                       std::byte* out) {
    transpose_rows_(x, ldx, n_rows, n, s_.transposed.data());
    pack(left, s_.transposed.data(), kBlock, n, n_rows, out);
  }

  void pack_block(int64_t b) {
    const int64_t first = b * kBlock, n = rows_of(b);
    const int64_t qk = shape_.qk_head_dim(), nope = shape_.qk_nope_head_dim;
    const int64_t v = shape_.v_head_dim, heads = shape_.n_heads;
    pack_transposed(true, q_row(first), heads * qk, n, qk, &s_.q_by_d[b * s_.by_d_qk]);
    pack(false, q_row(first), heads * qk, n, qk, &s_.q_by_row[b * s_.by_row_qk]);

    for (int64_t t = 0; t < n; ++t) {
      std::copy_n(kv_row(first + t), nope, &s_.rows[t * qk]);
      std::copy_n(job_.k_rope + (first + t) * shape_.qk_rope_head_dim, shape_.qk_rope_head_dim,
                  &s_.rows[t * qk + nope]);
    }
    pack_transposed(false, s_.rows.data(), qk, n, qk, &s_.k_by_d[b * s_.by_d_qk]);
    pack(false, s_.rows.data(), qk, n, qk, &s_.k_by_row[b * s_.by_row_qk]);
    pack_transposed(false, kv_row(first) + nope, heads * (nope + v), n, v,
                    &s_.v_by_d[b * s_.by_d_v]);

    const float* const d_o = job_.d_o + o_at(first);
    pack_transposed(true, d_o, heads * v, n, v, &s_.d_o_by_d[b * s_.by_d_v]);
    pack(false, d_o, heads * v, n, v, &s_.d_o_by_row[b * s_.by_row_v]);
    for (int64_t t = first; t < first + n; ++t)
      s_.d[t] = table_.dot(job_.d_o + o_at(t), job_.o + o_at(t), v);
  }

  // out [m, n] = or += left^T right.
  void multiply(const std::byte* left, const std::byte* right, int64_t n_t, int64_t m, int64_t n,
                bool add, float* out, int64_t ldo) const {
    OuterProduct args;
    args.left = left;
    args.right = right;
    args.n_t = n_t;
    args.m = m;
    args.n = n;
    args.m_end = m;
    args.n_end = n;
    args.add = add;
    args.c = out;
    args.ldc = ldo;
    outer_.multiply(args);
  }

  // Scores of block i's queries with block j's keys, times softmax_scale.
  float* score(int64_t i, int64_t j, float* out) const {
    multiply(&s_.q_by_d[i * s_.by_d_qk], &s_.k_by_d[j * s_.by_d_qk], shape_.qk_head_dim(),
             rows_of(i), rows_of(j), /*add=*/false, out, kBlock);
    for (int64_t r = 0; r < rows_of(i); ++r)
      table_.scale(shape_.softmax_scale, out + r * kBlock, n_seen(i, j, r));
    return out;
  }
  float* kept_scores(int64_t j) const { return &s_.scores[j % kKeptBlocks * kBlock * kBlock]; }
  // The scores as the pass over the logarithms left them, or once more where it wrote over them.
  float* scores_again(int64_t i, int64_t j) const {
    if (j + kKeptBlocks > i) return kept_scores(j);
    return score(i, j, &s_.scores[kKeptBlocks * kBlock * kBlock]);
  }
  // Keys of block j that row r of block i sees.
  int64_t n_seen(int64_t i, int64_t j, int64_t r) const {
    return i == j ? std::min(r + 1, rows_of(j)) : rows_of(j);
  }

  // The logarithm of the sum of exponentials of each row of block i, blocks of keys ascending.
  void log_sums(int64_t i) {
    std::array<double, kBlock> largest, sum;
    largest.fill(-std::numeric_limits<double>::infinity());
    sum.fill(0);
    for (int64_t j = 0; j <= i; ++j) {
      const float* const scores = score(i, j, kept_scores(j));
      for (int64_t r = 0; r < rows_of(i); ++r) {
        float block_max = 0;
        const double block_sum =
            elementwise_.sum_exp(scores + r * kBlock, n_seen(i, j, r), &block_max);
        const auto at = static_cast<size_t>(r);
        const double next = std::max(largest[at], static_cast<double>(block_max));
        sum[at] = (sum[at] > 0 ? sum[at] * exp_f64(largest[at] - next) : 0.0) +
                  block_sum * exp_f64(static_cast<double>(block_max) - next);
        largest[at] = next;
      }
    }
    for (int64_t r = 0; r < rows_of(i); ++r) {
      const auto at = static_cast<size_t>(r);
      s_.lse[i * kBlock + r] = static_cast<float>(largest[at] + log_f64(sum[at]));
    }
  }

  // Queries of block i against keys of block j.
  void pair(int64_t i, int64_t j) {
    const int64_t n_i = rows_of(i), n_j = rows_of(j);
    const int64_t qk = shape_.qk_head_dim(), v = shape_.v_head_dim;
    const int64_t nope = shape_.qk_nope_head_dim, kv_width = shape_.n_heads * (nope + v);
    float* const scores = scores_again(i, j);
    multiply(&s_.d_o_by_d[i * s_.by_d_v], &s_.v_by_d[j * s_.by_d_v], v, n_i, n_j, /*add=*/false,
             s_.d_scores.data(), kBlock);
    for (int64_t r = 0; r < n_i; ++r) {
      const int64_t n = n_seen(i, j, r), at = r * kBlock;
      table_.attention_row(scores + at, &s_.d_scores[at], shape_.softmax_scale,
                           s_.lse[i * kBlock + r], s_.d[i * kBlock + r], scores + at,
                           &s_.d_scores[at], n);
      std::fill_n(scores + at + n, n_j - n, 0.0f);
      std::fill_n(&s_.d_scores[at] + n, n_j - n, 0.0f);
    }
    const bool first = i == j;  // the first block of queries that sees these keys
    float* const d_v = job_.d_kv + j * kBlock * kv_width + head_ * (nope + v) + nope;
    pack(true, scores, kBlock, n_i, n_j, s_.pairs.data());
    multiply(s_.pairs.data(), &s_.d_o_by_row[i * s_.by_row_v], n_i, n_j, v, !first, d_v, kv_width);
    pack(true, s_.d_scores.data(), kBlock, n_i, n_j, s_.pairs.data());
    multiply(s_.pairs.data(), &s_.q_by_row[i * s_.by_row_qk], n_i, n_j, qk, !first,
             &s_.d_k[j * kBlock * qk], qk);
    float* const d_q = job_.d_q + (i * kBlock * shape_.n_heads + head_) * qk;
    pack_transposed(true, s_.d_scores.data(), kBlock, n_i, n_j, s_.pairs.data());
    multiply(s_.pairs.data(), &s_.k_by_row[j * s_.by_row_qk], n_j, n_i, qk, j > 0, d_q,
             shape_.n_heads * qk);
  }

  const AttentionShape& shape_;
  bool bf16_;
  const AttentionBackwardJob& job_;
  int64_t head_;
  HeadScratch& s_;
  const GradientTable& table_;
  const ElementwiseTable& elementwise_;
  const OuterKernels& outer_;
  void (*transpose_rows_)(const float*, int64_t, int64_t, int64_t, float*);
};

// The head's gradient of its keys: its own part, and its part of the rope keys' for the sum over
// heads.
void spread_keys(const AttentionShape& shape, const AttentionBackwardJob& job, int64_t head,
                 const float* d_k, float* d_k_rope) {
  const int64_t nope = shape.qk_nope_head_dim, rope = shape.qk_rope_head_dim;
  const int64_t width = nope + shape.v_head_dim;
  for (int64_t t = 0; t < job.n_rows; ++t) {
    const float* const row = d_k + t * shape.qk_head_dim();
    std::copy_n(row, nope, job.d_kv + (t * shape.n_heads + head) * width);
    std::copy_n(row + nope, rope, d_k_rope + (t * shape.n_heads + head) * rope);
  }
}

}  // namespace

void attention_backward(const Compute& compute, const AttentionShape& shape, bool bf16,
                        std::span<const AttentionBackwardJob> jobs,
                        AttentionBackwardWorkspace& workspace) {
  AttentionBackwardWorkspace::State& state = workspace.state();
  const int64_t heads = shape.n_heads, rope = shape.qk_rope_head_dim;
  std::vector<int64_t> first_row;
  int64_t n_rows = 0;
  for (const AttentionBackwardJob& job : jobs) {
    FATHOM_CHECK(job.n_rows >= 0 && job.n_rows <= state.max_length, "sequence of ", job.n_rows);
    first_row.push_back(n_rows);
    n_rows += job.n_rows;
  }
  FATHOM_CHECK(n_rows <= state.max_rows && std::ssize(state.scratch) >= compute.pool->n_threads(),
               n_rows, " rows in a workspace for ", state.max_rows);
  compute.pool->parallel_for(std::ssize(jobs) * heads, [&](int64_t task, int thread) {
    const auto index = static_cast<size_t>(task / heads);
    const AttentionBackwardJob& job = jobs[index];
    HeadScratch& scratch = state.scratch[static_cast<size_t>(thread)];
    HeadBackward(compute, shape, bf16, job, task % heads, scratch).run();
    spread_keys(shape, job, task % heads, scratch.d_k.data(),
                state.d_k_rope.data() + first_row[index] * heads * rope);
  });
  const auto add = kernel_set(compute.isa).elementwise->add;
  for (size_t index = 0; index < jobs.size(); ++index) {
    const AttentionBackwardJob& job = jobs[index];
    const float* const parts = state.d_k_rope.data() + first_row[index] * heads * rope;
    compute.pool->parallel_for(ceil_div(job.n_rows, kBlock), [&](int64_t block, int) {
      for (int64_t t = block * kBlock; t < std::min(job.n_rows, (block + 1) * kBlock); ++t) {
        float* const sum = job.d_k_rope + t * rope;
        std::copy_n(parts + t * heads * rope, rope, sum);
        for (int64_t head = 1; head < heads; ++head)
          add(sum, parts + (t * heads + head) * rope, rope);
      }
    });
  }
}

}  // namespace fathom
