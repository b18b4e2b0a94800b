// A model in training: F32 masters and gradients in flat buffers, the weights as a checkpoint
// stores them, one pass forward and back (spec §6; report §2, §3.3). The forward pass is the
// engine's own (model/transformer.h) over the weights as stored, so its log-probabilities are those
// of `fathom score --attention naive` on the checkpoint, to the bit. Gradients are written by hand
// beside each forward (block_backward.cc, mla_backward.cc, moe_backward.cc).
//
// One pass at a time; parallel inside. Memory is taken when it is made. Results depend on the
// micro-batch's size, never on the number of threads (docs/numerics.md 9).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "io/checkpoint.h"
#include "kernels/dispatch.h"
#include "model/config.h"
#include "model/training.h"
#include "model/weights.h"

namespace fathom {

struct TrainableOptions : InitialWeights {
  TrainingPrecision precision = TrainingPrecision::kFp8;
  int64_t max_sequences = 1;    // of a micro-batch
  int64_t sequence_length = 0;  // positions of each that predict: t below, at most
};

class TrainableModel {
 public:
  // precision decides how weights are stored, whatever config says of it. Errors: sequences longer
  // than the model's positions; a checkpoint that lacks a tensor or has it in another shape.
  static Result<std::unique_ptr<TrainableModel>> create(const ModelConfig& config,
                                                        const TrainableOptions& options,
                                                        Compute compute);
  ~TrainableModel();
  // About what a micro-batch takes beside the weights: tape, workspaces.
  static int64_t activation_bytes(const ModelConfig& config, TrainingPrecision precision,
                                  int64_t max_sequences, int64_t sequence_length);

  const ModelConfig& config() const;                  // quantization_config as precision has it
  const std::vector<TrainedTensor>& tensors() const;  // sorted by name
  std::span<float> values();                          // masters
  std::span<float> gradients();
  // e_score_correction_bias of each MoE layer, MTP's last.
  std::vector<std::span<float>> router_biases();
  // To be called when masters or biases have changed: rounds them into what forward and backward
  // read.
  void weights_changed();
  // What forward reads; its address stays, its content changes by weights_changed().
  const ModelWeights& weights() const;
  // The same as tensors, for save_checkpoint().
  const Checkpoint& checkpoint() const;

  // tokens [n_sequences, t + 1], ids within the vocabulary; mask [n_sequences, t]: 1 where the
  // target, the next token, counts (an MTP target counts as the main target of its token does). t
  // <= sequence_length. Adds to gradients().
  LossSums forward_backward(std::span<const int32_t> tokens, std::span<const uint8_t> mask,
                            int64_t n_sequences, const LossWeights& weights);

 private:
  struct Parts;
  explicit TrainableModel(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace fathom
