// The weights of a model, named as the checkpoint names them (spec §1.3), in the precision of the
// file: matrices are views into mapped files, read where they lie; norms, router biases and FP8
// scales, which are small and come in several dtypes, are held as F32. Not here: reading files
// (io/checkpoint.h) and what the numbers mean (model/*.cc).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "io/checkpoint.h"
#include "kernels/linear.h"
#include "model/config.h"
#include "tensor/buffer.h"

namespace fathom {

struct AttentionWeights {
  LinearWeight q_proj;    // [n_heads * qk_head_dim, hidden_size]; only without q_lora_rank
  LinearWeight q_a_proj;  // [q_lora_rank, hidden_size]
  std::vector<float> q_a_layernorm;  // [q_lora_rank]
  LinearWeight q_b_proj;  // [n_heads * qk_head_dim, q_lora_rank], per head nope then rope rows
  LinearWeight kv_a_proj_with_mqa;    // [kv_lora_rank + qk_rope_head_dim, hidden_size]
  std::vector<float> kv_a_layernorm;  // [kv_lora_rank]
  LinearWeight kv_b_proj;             // [n_heads * (qk_nope_head_dim + v_head_dim), kv_lora_rank]
  LinearWeight o_proj;                // [hidden_size, n_heads * v_head_dim]
};

struct MlpWeights {
  LinearWeight gate_proj;  // [width, hidden_size]
  LinearWeight up_proj;    // [width, hidden_size]
  LinearWeight down_proj;  // [hidden_size, width]
};

struct MoeWeights {
  LinearWeight gate;  // the router, [n_routed_experts, hidden_size]; never FP8
  std::vector<float> e_score_correction_bias;  // [n_routed_experts] with noaux_tc, else empty
  std::vector<MlpWeights> experts;             // [n_routed_experts], width moe_intermediate_size
  MlpWeights
      shared_experts;  // one MLP of width n_shared_experts * moe_intermediate_size; empty if 0
};

struct LayerWeights {
  std::vector<float> input_layernorm;           // [hidden_size]
  std::vector<float> post_attention_layernorm;  // [hidden_size]
  AttentionWeights self_attn;
  bool is_moe = false;
  MlpWeights mlp;  // dense layers
  MoeWeights moe;  // MoE layers
};

// Module k of multi-token prediction, stored as layer num_hidden_layers + k (spec §2.7). Its
// embedding and head are the main model's: the copies in the file are checked or ignored, never
// used twice.
struct MtpWeights {
  std::vector<float> enorm;  // [hidden_size]
  std::vector<float> hnorm;  // [hidden_size]
  LinearWeight eh_proj;      // [hidden_size, 2 * hidden_size]: embedding first, hidden state second
  LayerWeights layer;
  std::vector<float> shared_head_norm;  // [hidden_size]
};

struct ModelWeights {
  LinearWeight embed_tokens;  // [vocab_size, hidden_size]; rows are looked up, never FP8
  std::vector<LayerWeights> layers;
  std::vector<float> norm;  // [hidden_size]
  LinearWeight lm_head;     // [vocab_size, hidden_size]; with tie_word_embeddings the embedding
  std::vector<MtpWeights>
      mtp;  // empty if the checkpoint has none, whatever the config says (then a note)

  std::vector<std::string> notes;  // what a person should know, one sentence each

  // What the views above point into.
  std::shared_ptr<const Checkpoint> checkpoint;
  std::vector<Buffer<float>> scales;
};

// One tensor that a checkpoint of this config holds.
struct ExpectedTensor {
  std::string name;
  std::vector<int64_t> shape;
  bool quantised =
      false;  // F8_E4M3 with a sibling <name>_scale_inv where the config has quantization_config
  bool optional = false;  // may be absent (MTP copies of embedding and head; a tied head)
};
// In the order of the layers; of 91,991 tensors for the published V3.
std::vector<ExpectedTensor> expected_tensors(const ModelConfig& config);
// "model.layers.4."
std::string layer_prefix(int64_t layer_idx);

inline constexpr int64_t kVerifyBytesMax = int64_t{4} << 30;

struct LoadOptions {
  // Read every FP8 weight once and refuse NaN codes, and compare the MTP module's copies of
  // embedding and head with the main model's. Costs a pass over the files, so that it is done
  // unasked only for models up to verify_bytes_max.
  bool verify_weights = false;
  int64_t verify_bytes_max = kVerifyBytesMax;
  // Do not hold on to the pages that were verified: memory is short.
  bool release_pages = false;
};

// Checks every name, shape, dtype and scale against the config, then makes the views. n_segments of
// o_proj and of the down_proj of dense layers and shared experts is 8 where k is a multiple of
// 1,024 (docs/numerics.md 3), else 1. Errors name the tensor, what was expected and what the file
// has.
Result<ModelWeights> load_weights(const ModelConfig& config,
                                  std::shared_ptr<const Checkpoint> checkpoint,
                                  const LoadOptions& options = {});

}  // namespace fathom
