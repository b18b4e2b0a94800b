// AdamW over a model's tensors, its clipping, and the combination of micro-batches
// (docs/numerics.md: rules that make results independent of threads and ranks).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/adamw.h"
#include "tensor/buffer.h"
#include "train/run_config.h"
#include "train/trainee.h"

namespace fathom {

class Optimizer {
 public:
  // n_values: of the flat buffers.
  Optimizer(const OptimizerConfig& config, int64_t n_values);

  struct Step {
    double learning_rate = 0;
    double gradient_scale = 1;  // the model's gradients() are this times the loss's
    double norm = 0;            // of the loss's gradients
    int64_t step = 0;           // from 1
  };

  // sqrt of the sum of squares over gradients(): tensor by tensor in the order of their names.
  static double gradient_norm(const Compute& compute, Trainee& model);
  // Clips by norm and steps every tensor.
  void step(const Compute& compute, Trainee& model, const Step& step);

  bool bf16_moments() const { return config_.bf16_moments; }
  // The moments' bytes of values [offset, offset + size), for checkpoints; which is 0 (first) or 1.
  std::span<std::byte> moment(int which, int64_t offset, int64_t size);
  int64_t moment_bytes() const { return config_.bf16_moments ? 2 : 4; }  // of one value

 private:
  OptimizerConfig config_;
  Buffer<float> wide_[2];       // F32 moments, or empty
  Buffer<uint16_t> narrow_[2];  // BF16 moments, or empty
};

// Adds up the gradients of a batch's micro-batches as a binary counter counts:
// ((0+1)+(2+3))+((4+5)+...), so that ranks which hold aligned parts of them combine to the same
// bytes. What is left over at the end joins from the smallest part to the largest. One micro-batch
// costs nothing.
class GradientTree {
 public:
  // Before a micro-batch: gradients are zero.
  static void clear(const Compute& compute, std::span<float> gradients);
  // After each micro-batch but the last: puts its gradients away.
  void push(const Compute& compute, std::span<float> gradients);
  // After the last: gradients become the sum; the tree is empty again.
  void finish(const Compute& compute, std::span<float> gradients);

 private:
  // levels_[i] holds the sum of 2^i micro-batches where bit i of n_ is set.
  std::vector<Buffer<float>> levels_;
  uint64_t n_ = 0;
};

// e_score_correction_bias += speed * sign(mean load - load) (spec §6.3).
void update_router_bias(std::span<float> bias, std::span<const int64_t> loads, double speed);
// max load / mean load - 1; 0 without loads.
double max_violation(std::span<const int64_t> loads);

}  // namespace fathom
