// The row functions behind elementwise.h, one table for each instruction set: single-threaded, raw
// pointers. Arguments as in elementwise.h.
#pragma once

#include <cstdint>

namespace fathom {

struct ElementwiseTable {
  void (*rms_norm_row)(const float* x, const float* weight, float eps, float* y, int64_t n);
  void (*add)(float* x, const float* y, int64_t n);
  void (*axpy)(float weight, const float* x, float* y, int64_t n);
  // One vector of dim values.
  void (*rope)(float* x, int64_t dim, const float* cos, const float* sin, bool interleaved);
  void (*sigmoid)(const float* x, float* y, int64_t n);
  void (*silu_mul)(const float* gate, const float* up, float* y, int64_t n);
  void (*softmax)(const float* x, float* y, int64_t n);
  // The largest value and the sum of exp(x - max).
  double (*sum_exp)(const float* x, int64_t n, float* max);
};

namespace ref {
extern const ElementwiseTable kElementwise;
}
namespace avx2 {
extern const ElementwiseTable kElementwise;
}
namespace avx512 {
extern const ElementwiseTable kElementwise;
}
namespace neon {
extern const ElementwiseTable kElementwise;
}

}  // namespace fathom
