// What training says about a model: its trainable tensors in flat buffers, how losses count, and
// what one micro-batch gave. The model computes them (model/trainable_model.h), the loop decides
// (train/trainer.h).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/checkpoint.h"

namespace fathom {

// What the three products of every linear layer take (spec §6.7): kFp8 is the report's framework,
// kBf16 rounds operands to BF16, kFp32 takes them as they are. Sums are F32 in all of them.
enum class TrainingPrecision : uint8_t { kFp32, kBf16, kFp8 };
// Of "fp32", "bf16" or "fp8".
TrainingPrecision training_precision(std::string_view name);

// Where weights begin: those of a checkpoint, in any precision that loads; without one matrices are
// Normal(0, init_std) by (seed, name, position), norms one, router biases zero.
struct InitialWeights {
  std::shared_ptr<const Checkpoint> checkpoint;
  uint64_t seed = 1;
  double init_std = 0.006;
};

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
  double main_scale = 0;           // 1 / targets of the batch
  std::vector<double> mtp_scales;  // of each module: 1 / its targets of the batch
  double mtp_lambda = 0;           // 0: the MTP modules are not run
  double balance_alpha = 0;
  double balance_scale = 0;  // 1 / sequences of the batch; batch_wise: 1 / micro-batches
  bool batch_wise = false;   // the balance term over the whole micro-batch, not each sequence
  // gradients() take the losses' gradients times this, a power of two: no other bit of them changes
  // until FP8 rounds a tile whose largest value is below the 1e-4 at which scales end (spec §3.3).
  double gradient_scale = 1;
};

// A gradient_scale for a mean over so many targets: a target's gradient, which is below 1, counts
// some thousand, far above that end in any layer, and its square far below what F32 holds.
double gradient_scale_of(int64_t n_targets);

// Of one micro-batch or summed over several.
struct LossSums {
  double main = 0;  // main_scale times the cross-entropies in nats
  double mtp = 0;   // the mean over modules of the same with their scales; times lambda in the loss
  double balance = 0;  // the balance term as it enters the loss, alpha and scale included
  std::vector<std::vector<int64_t>> loads;  // [layer][expert]: tokens sent to it; MTP's last

  void add(const LossSums& other);
};

}  // namespace fathom
