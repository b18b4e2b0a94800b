#include <cmath>

#include "model/gguf_config.h"

namespace fathom {

namespace {

std::string key(std::string_view name) { return str_cat(kGgufArchitecture, ".", name); }

// What the other fields mean stays the same only if these have the values that readers assume.
Status check_config(const ModelConfig& config) {
  const bool v2 = config.scoring_func == ScoringFunc::kSoftmax;
  const bool usual =
      v2 ? config.topk_method != TopkMethod::kNoauxTc : config.topk_method == TopkMethod::kNoauxTc;
  if (!usual) {
    return unsupported_error("GGUF has no field for topk_method ",
                             topk_method_name(config.topk_method), " with ",
                             scoring_func_name(config.scoring_func), " scores");
  }
  if (config.rope_scaling && config.rope_scaling->mscale != config.rope_scaling->mscale_all_dim) {
    return unsupported_error("rope_scaling.mscale is ", config.rope_scaling->mscale,
                             " and mscale_all_dim ", config.rope_scaling->mscale_all_dim,
                             "; GGUF has one field for both, so they must be equal");
  }
  return {};
}

}  // namespace

Status add_gguf_config(const ModelConfig& config, GgufMetadataBuilder& metadata) {
  FATHOM_RETURN_IF_ERROR(check_config(config));
  const auto add = [&](std::string_view name, int64_t value) {
    metadata.add_u32(key(name), static_cast<uint32_t>(value));
  };
  const auto add_float = [&](std::string_view name, double value) {
    metadata.add_f32(key(name), static_cast<float>(value));
  };
  add("vocab_size", config.vocab_size);
  add("context_length", config.max_position_embeddings);
  add("embedding_length", config.hidden_size);
  add("block_count", config.num_hidden_layers);
  add("feed_forward_length", config.intermediate_size);
  add("leading_dense_block_count", config.first_k_dense_replace);
  // As attention over the latent has it: one key and value for all heads. The heads' own sizes are
  // the *_mla.
  add("attention.head_count", config.num_attention_heads);
  add("attention.head_count_kv", 1);
  // Also where there is none: readers know some models by its absence.
  add("attention.q_lora_rank", config.q_lora_rank);
  add("attention.kv_lora_rank", config.kv_lora_rank);
  add("attention.key_length", config.kv_row_size());
  add("attention.value_length", config.kv_lora_rank);
  add("attention.key_length_mla", config.qk_head_dim());
  add("attention.value_length_mla", config.v_head_dim);
  add_float("attention.layer_norm_rms_epsilon", config.rms_norm_eps);
  add("expert_feed_forward_length", config.moe_intermediate_size);
  add("expert_count", config.n_routed_experts);
  add("expert_used_count", config.num_experts_per_tok);
  add("expert_shared_count", config.n_shared_experts);
  add("expert_group_count", config.n_group);
  add("expert_group_used_count", config.topk_group);
  add_float("expert_weights_scale", config.routed_scaling_factor);
  metadata.add_bool(key("expert_weights_norm"), config.norm_topk_prob);
  add("expert_gating_func", config.scoring_func == ScoringFunc::kSigmoid ? 2 : 1);
  add("rope.dimension_count", config.qk_rope_head_dim);
  add_float("rope.freq_base", config.rope_theta);
  if (config.rope_scaling) {
    const RopeScaling& yarn = *config.rope_scaling;
    metadata.add_string(key("rope.scaling.type"), "yarn");
    add_float("rope.scaling.factor", yarn.factor);
    add("rope.scaling.original_context_length", yarn.original_max_position_embeddings);
    add_float("rope.scaling.yarn_beta_fast", yarn.beta_fast);
    add_float("rope.scaling.yarn_beta_slow", yarn.beta_slow);
    add_float("rope.scaling.yarn_log_multiplier", 0.1 * yarn.mscale_all_dim);
  }
  return {};
}

}  // namespace fathom
