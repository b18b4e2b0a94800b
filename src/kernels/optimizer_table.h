// The loops behind adamw.h, one table for each instruction set: single-threaded, raw pointers.
#pragma once

#include <cstdint>

namespace fathom {

// One step over one range, as factors (adamw.h has the formula).
struct AdamWFactors {
  float gradient_scale;   // min(1, clip / norm)
  float keep;             // 1 - learning_rate * weight_decay, or 1
  float beta1, rest1;     // rest1 = 1 - beta1
  float beta2, rest2;     // rest2 = 1 - beta2
  float step_size;        // learning_rate / (1 - beta1^step)
  float inv_correction2;  // 1 / (1 - beta2^step)
  float eps;
};

struct OptimizerTable {
  void (*adamw_f32)(const AdamWFactors& factors, const float* gradient, float* value, float* m,
                    float* v, int64_t n);
  void (*adamw_bf16)(const AdamWFactors& factors, const float* gradient, float* value, uint16_t* m,
                     uint16_t* v, int64_t n);
  // The sum of the F32 squares of x [n], added in double.
  double (*sum_squares)(const float* x, int64_t n);
};

namespace ref {
extern const OptimizerTable kOptimizer;
}
namespace avx2 {
extern const OptimizerTable kOptimizer;
}
namespace avx512 {
extern const OptimizerTable kOptimizer;
}
namespace neon {
extern const OptimizerTable kOptimizer;
}

}  // namespace fathom
