// What attention.cc hands to the kernels of one instruction set: raw pointers and numbers, one
// thread's work, and the table of those kernels. Operands are "units" of 32 bits: one F32 value, or
// with `pairs` two BF16 values of neighbouring dimensions (q.k) or neighbouring keys (p.v), the
// lower one in the lower half; both layouts have the same shape, so that one kernel serves them.
#pragma once

#include <cstdint>

namespace fathom {

inline constexpr int64_t kBlockKeys = 64;

// Query rows against one block of at most 64 keys; online softmax updates (m, l, o) of each row.
// Query i sees the keys [0, clamp(first_count + i * count_step, 0, 64)) of the block and no others,
// not even as zero times something; a query that sees none is left as it is.
struct AttendArgs {
  bool pairs = false;
  int64_t n_queries = 0;
  const float* q = nullptr;  // [n_queries, q_units], q_stride units from row to row
  int64_t q_stride = 0;
  int64_t q_units = 0;
  const float* keys = nullptr;  // [q_units, 64]
  const float* values =
      nullptr;  // [64 keys, or 32 pairs of keys; v_dims], value_stride units from row to row
  int64_t value_stride = 0;
  int64_t v_dims = 0;
  int64_t first_count = 0;
  int64_t count_step = 0;  // 0 or 1
  float softmax_scale = 0;
  float* m = nullptr;  // [n_queries] largest score so far, -infinity before the first block
  float* l = nullptr;  // [n_queries] sum of exp(score - m)
  float* o = nullptr;  // [n_queries, v_dims] sum of exp(score - m) * value, o_stride floats from
                       // row to row
  int64_t o_stride = 0;
};

// y[i, d] = x[i, 0] * w[0, d] + x[i, 1] * w[1, d] + ... after what y holds, by fma in this order.
struct AccumulateArgs {
  int64_t n_rows = 0;
  const float* x = nullptr;
  int64_t x_stride = 0;
  const float* w = nullptr;  // [n_steps, dims]
  int64_t w_stride = 0;
  int64_t n_steps = 0;
  int64_t dims = 0;
  float* y = nullptr;
  int64_t y_stride = 0;
};

struct AttentionTable {
  void (*attend)(const AttendArgs& args);
  // (m, l, o) takes in (m2, l2, o2), the next segment; o, o2 [dims].
  void (*merge)(float* m, float* l, float* o, float m2, float l2, const float* o2, int64_t dims);
  // y = o / l, [dims]; y may be o.
  void (*finish)(const float* o, float l, float* y, int64_t dims);
  void (*accumulate)(const AccumulateArgs& args);
  // y[j] = sum over d of w[j, d] * x[d] for j in [0, n).
  void (*dots)(const float* w, int64_t w_stride, int64_t n, const float* x, int64_t dims, float* y);
  // Rows of units, row_stride apart, to out [n_units, 64]; columns of missing rows are zero.
  void (*transpose)(const float* rows, int64_t row_stride, int64_t n_rows, int64_t n_units,
                    float* out);
  // Rows of BF16 values to pairs of rows: out [32, n]; missing rows are zero.
  void (*interleave)(const uint16_t* rows, int64_t row_stride, int64_t n_rows, int64_t n,
                     float* out);
  // BF16, ties to even.
  void (*to_bf16)(const float* x, uint16_t* y, int64_t n);
  void (*from_bf16)(const uint16_t* x, float* y, int64_t n);
  // E4M3 with an F32 scale for each 128 values or the rest.
  void (*from_e4m3)(const uint8_t* x, const char* scales, float* y, int64_t n);
};

namespace ref {
extern const AttentionTable kAttention;
}
namespace avx2 {
extern const AttentionTable kAttention;
}
namespace avx512 {
extern const AttentionTable kAttention;
}
namespace amx {
extern const AttentionTable kAttention;
}
namespace neon {
extern const AttentionTable kAttention;
}

}  // namespace fathom
