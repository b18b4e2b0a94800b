// The trained model as the loop sees it (train/trainee.h).
#pragma once

#include <memory>

#include "model/trainable_model.h"
#include "train/trainee.h"

namespace fathom {

class ModelTrainee final : public Trainee {
 public:
  // model outlives it.
  explicit ModelTrainee(TrainableModel& model) : model_(model) {}

  const std::vector<TrainedTensor>& tensors() const override { return model_.tensors(); }
  std::span<float> values() override { return model_.values(); }
  std::span<float> gradients() override { return model_.gradients(); }
  std::vector<std::span<float>> router_biases() override { return model_.router_biases(); }
  void weights_changed() override { model_.weights_changed(); }
  int64_t n_mtp_modules() const override { return model_.config().num_nextn_predict_layers; }
  Result<LossSums> forward_backward(std::span<const int32_t> tokens, std::span<const uint8_t> mask,
                                    int64_t n_sequences, const LossWeights& weights) override {
    return model_.forward_backward(tokens, mask, n_sequences, weights);
  }

 private:
  TrainableModel& model_;
};

}  // namespace fathom
