// The small operations between the matrix products. Rows are independent; all sums in F32 in a
// fixed lane order, exp and sigmoid are our own code (kernels/math.h), no libm.
#pragma once

#include <cstdint>

#include "kernels/dispatch.h"

namespace fathom {

// y[t, :] = x[t, :] / sqrt(mean(x[t, :]^2) + eps) * weight (spec §2.1). x, y [m, n] with ldx / ldy
// floats from row to row; y may be x. weight [n].
void rms_norm(const Compute& compute, const float* x, int64_t ldx, const float* weight, float eps,
              float* y, int64_t ldy, int64_t m, int64_t n);

// x += y, both [n].
void add_in_place(const Compute& compute, float* x, const float* y, int64_t n);

// y = fma(weight, x, y), both [n], on the calling thread.
void axpy_row(Isa isa, float weight, const float* x, float* y, int64_t n);

// Rotates n_heads vectors of dim values that stand head_stride floats apart, in place (spec §2.4).
// cos, sin [dim/2]. interleaved: pairs (x[2j], x[2j+1]); else halves (x[j], x[j + dim/2]).
//   (a, b) -> (a cos - b sin, a sin + b cos), each product rounded to F32 then added, no fma.
void rope_row(Isa isa, float* x, int64_t n_heads, int64_t head_stride, int64_t dim,
              const float* cos, const float* sin, bool interleaved);

// y = sigmoid(x), elementwise, [n], y may be x.
void sigmoid_row(Isa isa, const float* x, float* y, int64_t n);
// y = gate * sigmoid(gate) * up, each product rounded, [n]; y may be gate or up. The same bits on
// every set.
void silu_mul_row(Isa isa, const float* gate, const float* up, float* y, int64_t n);
// y = softmax(x) over [n], y may be x: exp(x - max) / sum.
void softmax_row(Isa isa, const float* x, float* y, int64_t n);
// log(sum(exp(x))) over [n]: the F32 terms exp(x - max) summed in double, in a fixed lane order.
double log_sum_exp_row(Isa isa, const float* x, int64_t n);
// The index of the largest value, the lowest of equals; NaN never wins. n >= 1.
int64_t argmax_row(const float* x, int64_t n);

}  // namespace fathom
