// DeepSeek-V3 in double, forward and back, written along the report's formulas with none of the
// program's kernels (spec §2, §6): what the training loop and fast backward passes are held
// against. Slow: for models of some thousand parameters. Masters and gradients are F32 as the loop
// wants them.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/config.h"
#include "tests/support/naive/graph.h"
#include "train/trainee.h"

namespace fathom::naive {

class Model final : public Trainee {
 public:
  // Weights are zero; values() may be filled, load() reads them from a checkpoint in F32.
  explicit Model(const ModelConfig& config);
  Status load(const std::string& safetensors_path);

  const std::vector<TrainedTensor>& tensors() const override { return tensors_; }
  std::span<float> values() override { return values_; }
  std::span<float> gradients() override { return gradients_; }
  std::vector<std::span<float>> router_biases() override;
  void weights_changed() override {}
  int64_t n_mtp_modules() const override { return config_.num_nextn_predict_layers; }
  Result<LossSums> forward_backward(std::span<const int32_t> tokens, std::span<const uint8_t> mask,
                                    int64_t n_sequences, const LossWeights& weights) override;

 private:
  struct Pass;  // one sequence
  Node parameter(const std::string& name);
  void add_sequence(std::span<const int32_t> tokens, std::span<const uint8_t> mask,
                    const LossWeights& weights, LossSums& sums);

  const ModelConfig config_;
  std::vector<TrainedTensor> tensors_;
  std::vector<float> values_, gradients_;
  std::vector<std::vector<float>> biases_;  // of the MoE layers, MTP's last
  std::map<std::string, Node> parameters_;  // of the micro-batch at hand
};

}  // namespace fathom::naive
