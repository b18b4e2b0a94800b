// The weights of a model in training (spec §6.7): F32 masters and gradients in two flat buffers;
// the same weights as a checkpoint stores them (FP8 blocks, BF16 or F32), which forward reads
// through the views of model/weights.h; and their transposes in the same precision, which the pass
// back reads.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "io/checkpoint.h"
#include "kernels/dispatch.h"
#include "kernels/linear.h"
#include "model/config.h"
#include "model/training.h"
#include "model/weights.h"
#include "tensor/buffer.h"

namespace fathom {

// What the pass back needs of a linear layer.
struct LinearGradient {
  LinearWeight transposed;    // [in_features, out_features]
  float* gradient = nullptr;  // [out_features, in_features], added to
  int64_t n() const { return transposed.k; }
  int64_t k() const { return transposed.n; }
  bool empty() const { return gradient == nullptr; }
};

// Gradients under the names of model/weights.h; norms as pointers, added to.
struct AttentionGradients {
  LinearGradient q_proj, q_a_proj, q_b_proj, kv_a_proj_with_mqa, kv_b_proj, o_proj;
  float* q_a_layernorm = nullptr;
  float* kv_a_layernorm = nullptr;
};
struct MlpGradients {
  LinearGradient gate_proj, up_proj, down_proj;
};
struct MoeGradients {
  LinearGradient gate;
  std::vector<MlpGradients> experts;
  MlpGradients shared_experts;
};
struct LayerGradients {
  float* input_layernorm = nullptr;
  float* post_attention_layernorm = nullptr;
  AttentionGradients self_attn;
  MlpGradients mlp;
  MoeGradients moe;
};
struct MtpGradients {
  float* enorm = nullptr;
  float* hnorm = nullptr;
  LinearGradient eh_proj;
  LayerGradients layer;
  float* shared_head_norm = nullptr;
};
struct ModelGradients {
  float* embed_tokens = nullptr;  // [vocab_size, hidden_size]
  std::vector<LayerGradients> layers;
  float* norm = nullptr;
  LinearGradient lm_head;  // with tie_word_embeddings its gradient is the embedding's
  std::vector<MtpGradients> mtp;
};

class TrainedWeights {
 public:
  // config says how weights are stored. Memory is taken here. Errors: the checkpoint lacks a tensor
  // or has another shape or a type that cannot be read.
  static Result<std::unique_ptr<TrainedWeights>> create(const ModelConfig& config,
                                                        const InitialWeights& initial,
                                                        Compute compute);

  const std::vector<TrainedTensor>& tensors() const { return tensors_; }
  std::span<float> values() { return values_.span(); }
  std::span<float> gradients() { return gradients_.span(); }
  std::vector<std::span<float>> router_biases() { return biases_; }
  // Masters into what forward and backward read.
  void refresh();
  const ModelWeights& weights() const { return weights_; }
  const ModelGradients& model_gradients() const { return model_gradients_; }
  const Checkpoint& checkpoint() const { return *checkpoint_; }

 private:
  // A matrix as it is stored, and its transpose.
  struct Stored {
    const TrainedTensor* master = nullptr;
    Tensor tensor;            // F32: the masters themselves
    float* scales = nullptr;  // FP8
    bool transpose = false;
    LinearWeight transposed;
  };
  TrainedWeights(const ModelConfig& config, Compute compute) : config_(config), compute_(compute) {}
  void lay_out();
  void make_stored();
  Status fill(const InitialWeights& initial);
  void store(const Stored& stored);
  float* gradient(const std::string& name);
  LinearGradient linear_gradient(const std::string& name);
  AttentionGradients attention_gradients(const std::string& prefix);
  MlpGradients mlp_gradients(const std::string& prefix);
  LayerGradients layer_gradients(int64_t layer_idx);
  void make_gradients();

  ModelConfig config_;
  Compute compute_;
  std::vector<TrainedTensor> tensors_;
  Buffer<float> values_, gradients_;
  std::vector<std::span<float>> biases_;
  std::vector<Stored> stored_;
  std::unordered_map<std::string, size_t> stored_index_;  // by name
  Buffer<std::byte> memory_;
  std::shared_ptr<const Checkpoint> checkpoint_;
  ModelWeights weights_;
  ModelGradients model_gradients_;
};

}  // namespace fathom
