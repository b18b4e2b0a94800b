// The pass back through the small operations of elementwise.h. d_x names the gradient of the loss
// by x. Sums in F32 in a fixed lane order; gradients of weights add rows in blocks of 128 from the
// first on, each block from zero, blocks ascending (docs/numerics.md 9).
#pragma once

#include <cstdint>
#include <span>

#include "kernels/dispatch.h"
#include "tensor/buffer.h"

namespace fathom {

// What rms_norm_backward needs for up to max_rows rows of max_n values.
class NormBackwardWorkspace {
 public:
  NormBackwardWorkspace() = default;
  NormBackwardWorkspace(int64_t max_rows, int64_t max_n);
  float* blocks() { return blocks_.data(); }
  int64_t size() const { return blocks_.size(); }

 private:
  Buffer<float> blocks_;  // the gradient of the weight by each block of rows
};

// Of y = rms_norm(x) (elementwise.h): d_x [m, n] from d_y [m, n], = or (add) +=; d_weight [n] +=.
// d_x may be d_y.
void rms_norm_backward(const Compute& compute, const float* x, int64_t ldx, const float* weight,
                       float eps, const float* d_y, int64_t ldy, float* d_x, int64_t lddx, bool add,
                       float* d_weight, int64_t m, int64_t n, NormBackwardWorkspace& workspace);

// Of rope_row: the inverse rotation, in place.
void rope_backward_row(Isa isa, float* d_x, int64_t n_heads, int64_t head_stride, int64_t dim,
                       const float* cos, const float* sin, bool interleaved);

// Of y = silu(gate) * up, all [n]; d_gate may be gate, d_up may be up.
void silu_mul_backward_row(Isa isa, const float* gate, const float* up, const float* d_y,
                           float* d_gate, float* d_up, int64_t n);

// Cross-entropy of one row of logits [n] in nats; they become scale * (softmax - one-hot(target)).
double cross_entropy_row(Isa isa, float* logits, int64_t n, int32_t target, float scale);

// x *= weight, [n].
void scale_row(Isa isa, float weight, float* x, int64_t n);
// Sum of x * y over [n].
float dot_row(Isa isa, const float* x, const float* y, int64_t n);

// Of looking up rows of a table [n_table, n]: d_table[tokens[i]] += d_rows[i], rows of one token
// ascending. d_rows [tokens.size(), n].
void scatter_add_rows(const Compute& compute, std::span<const int32_t> tokens, const float* d_rows,
                      int64_t n, float* d_table);

}  // namespace fathom
