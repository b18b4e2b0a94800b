// AdamW over ranges of flat buffers (Loshchilov, Hutter 2019; spec §6.2), fused into one pass over
// gradient, master value and both moments, and the gradient's norm that clipping needs. Not here:
// which tensors decay and how the learning rate runs (train/).
#pragma once

#include <cstdint>

#include "kernels/dispatch.h"

namespace fathom {

struct AdamWOptions {
  double learning_rate = 0;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0;    // 0 for tensors that do not decay
  double gradient_scale = 1;  // of clipping: min(1, clip / norm), and of the loss
  int64_t step = 1;           // this one's number, from 1: for the bias correction
};

// One step in F32, with g = gradient * gradient_scale:
//   value *= 1 - learning_rate * weight_decay
//   m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
//   value -= learning_rate (m / (1 - beta1^step)) / (sqrt(v / (1 - beta2^step)) + eps)
// All [n]. Moments in BF16 are widened, and rounded to nearest even when stored; the value's step
// uses them before they are rounded. Every operation is correctly rounded, so that all instruction
// sets give the same bits.
void adamw(const Compute& compute, const AdamWOptions& options, const float* gradient, float* value,
           float* m, float* v, int64_t n);
void adamw(const Compute& compute, const AdamWOptions& options, const float* gradient, float* value,
           uint16_t* m, uint16_t* v, int64_t n);

// The sum of squares of x [n]: blocks of 4,096 values from the first on, each square rounded to
// F32, sums in double, blocks added ascending. So it does not depend on the number of threads.
// Infinite or NaN if a value is, or if its square overflows.
double sum_of_squares(const Compute& compute, const float* x, int64_t n);

// to = from, both [n], by all threads; zeros where from is null.
void copy_or_clear(const Compute& compute, float* to, const float* from, int64_t n);

}  // namespace fathom
