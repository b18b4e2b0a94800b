// What the training loop needs of a model: flat masters and gradients, one pass forward and back,
// and the moment when the weights have changed. The loop knows nothing else of it, so that its laws
// (resume, accumulation, spikes) are tested on a model of a few lines.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "model/training.h"

namespace fathom {

class Trainee {
 public:
  virtual ~Trainee() = default;
  virtual const std::vector<TrainedTensor>& tensors() const = 0;  // sorted by name
  virtual std::span<float> values() = 0;                          // F32 masters
  virtual std::span<float> gradients() = 0;
  // e_score_correction_bias of each MoE layer in the order of LossSums::loads.
  virtual std::vector<std::span<float>> router_biases() = 0;
  // Makes what forward and backward read from masters and biases.
  virtual void weights_changed() = 0;
  virtual int64_t n_mtp_modules() const = 0;
  // tokens [n_sequences, t + 1], mask [n_sequences, t] (1: the target counts). Adds to gradients().
  virtual Result<LossSums> forward_backward(std::span<const int32_t> tokens,
                                            std::span<const uint8_t> mask, int64_t n_sequences,
                                            const LossWeights& weights) = 0;
};

}  // namespace fathom
