// What the training loop needs of a model: flat masters and gradients, one pass forward and back,
// and the moment when the weights have changed. The loop knows nothing else of it, so that its laws
// (resume, accumulation, spikes) are tested on a model of a few lines.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace fathom {

// One trainable tensor in the flat buffers.
struct TrainedTensor {
  std::string name;  // as the checkpoint names it
  std::vector<int64_t> shape;
  int64_t offset = 0;  // in values; of both buffers
  int64_t size = 0;
  bool decay = true;  // false: a norm
};

// How the losses of one micro-batch count in the gradient of the whole batch.
struct LossWeights {
  double main_scale = 0;  // 1 / targets of the batch
  double mtp_scale = 0;   // 1 / MTP targets of the batch
  double mtp_lambda = 0;
  double balance_alpha = 0;
  double balance_scale = 0;  // 1 / sequences of the batch; batch_wise: 1 / micro-batches
  bool batch_wise = false;
};

// Of one micro-batch or summed over several.
struct LossSums {
  double main = 0;     // sum of cross-entropies in nats
  double mtp = 0;      // of the MTP modules
  double balance = 0;  // the balance term as it enters the loss, alpha and scale included
  std::vector<std::vector<int64_t>> loads;  // [layer][expert]: tokens sent to it; MTP's last

  void add(const LossSums& other);
};

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
  // tokens [n_sequences, t + 1], mask [n_sequences, t] (1: the target counts). Adds to gradients().
  virtual Result<LossSums> forward_backward(std::span<const int32_t> tokens,
                                            std::span<const uint8_t> mask, int64_t n_sequences,
                                            const LossWeights& weights) = 0;
};

}  // namespace fathom
