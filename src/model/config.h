// config.json of the DeepSeek-V3 family (spec §1.1, §1.5): V2, V2-Lite, V3, R1, V3.1, Moonlight,
// Kimi-K2, as published and as transformers 5 writes them. Fields are spelled as in the file. A
// config that asks for something else (sparse attention, another router, another quantisation) is
// refused by name.
//
// Required: vocab_size, hidden_size, intermediate_size, moe_intermediate_size, num_hidden_layers,
//   num_attention_heads, kv_lora_rank, qk_nope_head_dim, qk_rope_head_dim, v_head_dim, q_lora_rank
//   (null counts), n_routed_experts, num_experts_per_tok, first_k_dense_replace,
//   routed_scaling_factor, norm_topk_prob, rms_norm_eps, rope_theta, max_position_embeddings,
//   model_type; n_group and topk_group where the method has groups; factor and
//   original_max_position_embeddings of YaRN; quant_method and weight_block_size.
// Defaults, each that of the published configuration class or of the family's configs that leave it
// out:
//   num_key_value_heads = num_attention_heads, n_shared_experts 0, num_nextn_predict_layers 0,
//   moe_layer_freq 1, topk_method and scoring_func by model_type (deepseek_v2: greedy, softmax;
//   else noaux_tc, sigmoid), hidden_act silu, rope_interleave true, tie_word_embeddings false,
//   attention_bias false; beta_fast 32, beta_slow 1, mscale 1, mscale_all_dim 0 of YaRN; fmt e4m3,
//   activation_scheme dynamic, no scale_fmt of the quantisation.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/packed_formats.h"

namespace fathom {

// How the experts of a token are chosen (spec §2.5).
enum class TopkMethod : uint8_t {
  kGreedy,              // V2-Lite: the best of all
  kGroupLimitedGreedy,  // V2: of the best groups; a group counts by its best score
  kNoauxTc,             // V3: biased scores; a group counts by the sum of its two best
};
enum class ScoringFunc : uint8_t { kSoftmax, kSigmoid };

// YaRN (spec §2.4).
struct RopeScaling {
  double factor = 1;
  int64_t original_max_position_embeddings = 0;
  double beta_fast = 32;
  double beta_slow = 1;
  double mscale = 1;
  double mscale_all_dim = 0;  // 0: attention is not scaled
  friend bool operator==(const RopeScaling&, const RopeScaling&) = default;
};

// FP8 in blocks, as published (spec §3).
struct QuantizationConfig {
  int64_t weight_block_size[2] = {128, 128};  // [rows, columns]; nothing else is supported
  bool ue8m0 = false;                         // scale_fmt: scales are powers of two
};

struct ModelConfig {
  std::string model_type;  // "deepseek_v2", "deepseek_v3", "kimi_k2"
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t moe_intermediate_size = 0;
  int64_t num_hidden_layers = 0;
  int64_t num_nextn_predict_layers = 0;  // MTP modules, stored as the layers after the last
  int64_t num_attention_heads = 0;
  int64_t q_lora_rank = 0;  // 0: plain q_proj
  int64_t kv_lora_rank = 0;
  int64_t qk_nope_head_dim = 0;
  int64_t qk_rope_head_dim = 0;
  int64_t v_head_dim = 0;
  int64_t n_routed_experts = 0;
  int64_t n_shared_experts = 0;
  int64_t num_experts_per_tok = 0;
  int64_t n_group = 1;     // with kGreedy always 1
  int64_t topk_group = 1;  // with kGreedy always 1
  int64_t first_k_dense_replace = 0;
  TopkMethod topk_method = TopkMethod::kNoauxTc;
  ScoringFunc scoring_func = ScoringFunc::kSigmoid;
  bool norm_topk_prob = false;
  double routed_scaling_factor = 1;
  double rms_norm_eps = 0;
  double rope_theta = 0;
  std::optional<RopeScaling> rope_scaling;
  bool rope_interleave = true;  // the rotated pairs are neighbours; false: halves
  int64_t max_position_embeddings = 0;
  bool tie_word_embeddings = false;
  std::optional<QuantizationConfig> quantization_config;  // FP8
  std::optional<PackedFormats> packed_formats;  // of a packed model; then there is no FP8 above
  std::optional<int32_t> bos_token_id;
  std::vector<int32_t> eos_token_id;  // none, one or several
  std::string torch_dtype;            // "bfloat16", ...: informative, each tensor says its own

  // Of a query or key of one head.
  int64_t qk_head_dim() const { return qk_nope_head_dim + qk_rope_head_dim; }
  bool has_q_lora() const { return q_lora_rank > 0; }
  // Layers from num_hidden_layers on are MTP modules.
  int64_t n_moe_layers() const {
    return std::max<int64_t>(0, num_hidden_layers - first_k_dense_replace);
  }
  bool is_moe_layer(int64_t layer_idx) const { return layer_idx >= first_k_dense_replace; }
  bool is_mtp_layer(int64_t layer_idx) const { return layer_idx >= num_hidden_layers; }
  int64_t n_layers_stored() const { return num_hidden_layers + num_nextn_predict_layers; }
  // What the cache holds of a token in one layer: latent and rope key.
  int64_t kv_row_size() const { return kv_lora_rank + qk_rope_head_dim; }
  // Only noaux_tc has e_score_correction_bias.
  bool has_router_bias() const { return topk_method == TopkMethod::kNoauxTc; }
  // "DeepSeek-V2", "DeepSeek-V3", "Kimi-K2".
  std::string_view family() const;
};

std::string_view topk_method_name(TopkMethod method);
std::string_view scoring_func_name(ScoringFunc func);

// All sizes are checked (positive, bounded so that no product of shapes overflows, divisible where
// they must be), all numbers finite. display_name is how messages call the file.
Result<ModelConfig> parse_model_config(std::string_view json_text, const std::string& display_name);

}  // namespace fathom
