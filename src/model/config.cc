#include "model/config.h"

#include "io/json.h"
#include "io/printable.h"
#include "model/config_fields.h"
#include "model/config_parts.h"

namespace fathom {

namespace {

// Limits that no model of the family comes near, but that keep every product of sizes far from
// overflow.
constexpr int64_t kVocabMax = int64_t{1} << 24;
constexpr int64_t kWidthMax = int64_t{1} << 20;
constexpr int64_t kHeadDimMax = 8192;
constexpr int64_t kHeadsMax = 4096;
constexpr int64_t kLayersMax = 4096;
constexpr int64_t kMtpLayersMax = 16;
constexpr int64_t kExpertsMax = 65536;
constexpr int64_t kExpertsOfAllLayersMax =
    int64_t{1} << 18;  // the 671B model: 15,872; lists of tensors stay small

// Fields of relatives of the family that change what is computed; null, false, 0 and empty ask for
// nothing.
struct Foreign {
  std::string_view field;
  std::string_view meaning;
};
constexpr Foreign kForeign[] = {
    {"index_topk", "sparse attention (DeepSeek-V3.2)"},
    {"index_n_heads", "sparse attention (DeepSeek-V3.2)"},
    {"index_head_dim", "sparse attention (DeepSeek-V3.2)"},
    {"compress_ratios", "compressed attention"},
    {"compress_rates", "compressed attention"},
    {"o_lora_rank", "a low-rank output projection"},
    {"o_groups", "a grouped output projection"},
    {"hc_mult", "hyper-connections"},
    {"num_hash_layers", "hashed routing"},
    {"n_hash_layers", "hashed routing"},
    {"swiglu_limit", "a bounded SwiGLU"},
    {"linear_attn_config", "linear attention"},
    {"sliding_window", "sliding-window attention"},
    {"use_sliding_window", "sliding-window attention"},
    {"attention_chunk_size", "chunked attention"},
    {"attention_bias", "biases in attention"},
    {"mlp_bias", "biases in the feed-forward layers"},
    {"use_qk_norm", "normalised queries and keys"},
    {"attn_logit_softcapping", "capped attention logits"},
    {"final_logit_softcapping", "capped logits"},
    {"zero_expert_num", "experts that compute nothing"},
    {"mup_base_width", "width-dependent scaling"},
    {"residual_multiplier", "scaled residuals"},
    {"embedding_multiplier", "scaled embeddings"},
    {"logits_scaling", "scaled logits"},
    {"vision_config", "images"},
    {"text_config", "a model inside another"},
    {"compression_config", "another quantisation"},
};

Status refuse_foreign(const ConfigFields& fields) {
  for (const Foreign& foreign : kForeign) {
    if (fields.asks_for_nothing(foreign.field)) continue;
    const Json* json = fields.find(foreign.field);
    return unsupported_error(fields.where(foreign.field), " is ", printable(json->dump(), 60),
                             ", which asks for ", foreign.meaning, "; that is not supported");
  }
  return {};
}

Status parse_family(const ConfigFields& fields, ModelConfig& config) {
  FATHOM_TRY(config.model_type,
             fields.one_of("model_type", {"deepseek_v3", "deepseek_v2", "kimi_k2"}, std::nullopt));
  const Json* architectures = fields.find("architectures");
  if (architectures == nullptr) return {};
  if (!architectures->is_array()) return fields.wrong_type("architectures", "an array");
  for (const Json& name : architectures->as_array()) {
    if (name.is_string() && (name.as_string() == "DeepseekV3ForCausalLM" ||
                             name.as_string() == "DeepseekV2ForCausalLM")) {
      continue;
    }
    return unsupported_error(fields.where("architectures"), " names ", printable(name.dump(), 80),
                             ", supported are DeepseekV3ForCausalLM and DeepseekV2ForCausalLM");
  }
  return {};
}

Status parse_sizes(const ConfigFields& fields, ModelConfig& config) {
  FATHOM_TRY(config.vocab_size, fields.integer("vocab_size", 1, kVocabMax));
  FATHOM_TRY(config.hidden_size, fields.integer("hidden_size", 1, kWidthMax));
  FATHOM_TRY(config.intermediate_size, fields.integer("intermediate_size", 1, kWidthMax));
  FATHOM_TRY(config.moe_intermediate_size, fields.integer("moe_intermediate_size", 1, kWidthMax));
  FATHOM_TRY(config.num_hidden_layers, fields.integer("num_hidden_layers", 1, kLayersMax));
  FATHOM_TRY(config.num_nextn_predict_layers,
             fields.integer("num_nextn_predict_layers", 0, kMtpLayersMax, 0));
  FATHOM_TRY(config.num_attention_heads, fields.integer("num_attention_heads", 1, kHeadsMax));
  FATHOM_TRY(config.kv_lora_rank, fields.integer("kv_lora_rank", 1, kWidthMax));
  FATHOM_TRY(config.qk_nope_head_dim, fields.integer("qk_nope_head_dim", 1, kHeadDimMax));
  FATHOM_TRY(config.qk_rope_head_dim, fields.integer("qk_rope_head_dim", 2, kHeadDimMax));
  FATHOM_TRY(config.v_head_dim, fields.integer("v_head_dim", 1, kHeadDimMax));
  if (const Json* rank = fields.find_raw("q_lora_rank"); rank == nullptr || !rank->is_null()) {
    FATHOM_TRY(config.q_lora_rank, fields.integer("q_lora_rank", 0, kWidthMax));
  }
  if (config.qk_rope_head_dim % 2 != 0) {
    return invalid_error(fields.where("qk_rope_head_dim"), " is ", config.qk_rope_head_dim,
                         ", expected an even number: rotation takes pairs");
  }
  FATHOM_TRY(const int64_t kv_heads,
             fields.integer("num_key_value_heads", 1, kHeadsMax, config.num_attention_heads));
  if (kv_heads != config.num_attention_heads) {
    return invalid_error(fields.where("num_key_value_heads"), " is ", kv_heads,
                         ", but num_attention_heads is ", config.num_attention_heads,
                         "; latent attention has as many");
  }
  FATHOM_TRY(const int64_t qk_head_dim,
             fields.integer("qk_head_dim", 1, 2 * kHeadDimMax, config.qk_head_dim()));
  if (qk_head_dim != config.qk_head_dim()) {
    return invalid_error(fields.where("qk_head_dim"), " is ", qk_head_dim,
                         ", but qk_nope_head_dim + qk_rope_head_dim is ", config.qk_head_dim());
  }
  FATHOM_TRY(config.max_position_embeddings,
             fields.integer("max_position_embeddings", 1, kPositionsMax));
  FATHOM_TRY(config.rms_norm_eps, fields.number("rms_norm_eps", 1e-30, 1));
  return {};
}

Status parse_router(const ConfigFields& fields, ModelConfig& config) {
  const bool v2 = config.model_type == "deepseek_v2";
  FATHOM_TRY(const std::string method,
             fields.one_of("topk_method", {"noaux_tc", "group_limited_greedy", "greedy"},
                           v2 ? "greedy" : "noaux_tc"));
  config.topk_method = method == "noaux_tc" ? TopkMethod::kNoauxTc
                       : method == "greedy" ? TopkMethod::kGreedy
                                            : TopkMethod::kGroupLimitedGreedy;
  FATHOM_TRY(const std::string scoring,
             fields.one_of("scoring_func", {"sigmoid", "softmax"}, v2 ? "softmax" : "sigmoid"));
  config.scoring_func = scoring == "sigmoid" ? ScoringFunc::kSigmoid : ScoringFunc::kSoftmax;
  FATHOM_TRY(config.norm_topk_prob, fields.boolean("norm_topk_prob", std::nullopt));
  FATHOM_TRY(config.routed_scaling_factor, fields.number("routed_scaling_factor", 1e-6, 1e6));
  if (v2 && config.norm_topk_prob && config.routed_scaling_factor != 1) {
    return unsupported_error(
        fields.where("routed_scaling_factor"), " is ", config.routed_scaling_factor,
        " with norm_topk_prob: implementations of deepseek_v2 differ on whether both apply");
  }
  FATHOM_TRY(config.n_routed_experts, fields.integer("n_routed_experts", 1, kExpertsMax));
  FATHOM_TRY(config.n_shared_experts, fields.integer("n_shared_experts", 0, 64, 0));
  FATHOM_TRY(config.num_experts_per_tok, fields.integer("num_experts_per_tok", 1, kExpertsMax));
  FATHOM_TRY(config.first_k_dense_replace,
             fields.integer("first_k_dense_replace", 0, config.num_hidden_layers));
  if (config.n_routed_experts * config.n_layers_stored() > kExpertsOfAllLayersMax) {
    return unsupported_error(fields.where("n_routed_experts"), " is ", config.n_routed_experts,
                             " in ", config.n_layers_stored(), " layers, at most ",
                             kExpertsOfAllLayersMax, " experts in all are supported");
  }
  FATHOM_TRY(const int64_t freq, fields.integer("moe_layer_freq", 1, kLayersMax, 1));
  if (freq != 1) {
    return unsupported_error(fields.where("moe_layer_freq"), " is ", freq,
                             "; only 1 (every layer after the dense ones) is supported");
  }
  if (config.topk_method != TopkMethod::kGreedy) {
    FATHOM_TRY(config.n_group, fields.integer("n_group", 1, kExpertsMax));
    FATHOM_TRY(config.topk_group, fields.integer("topk_group", 1, kExpertsMax));
  }
  if (config.n_routed_experts % config.n_group != 0) {
    return invalid_error(fields.where("n_routed_experts"), " is ", config.n_routed_experts,
                         ", which does not divide into n_group = ", config.n_group, " groups");
  }
  const int64_t group_size = config.n_routed_experts / config.n_group;
  if (config.topk_group > config.n_group) {
    return invalid_error(fields.where("topk_group"), " is ", config.topk_group,
                         ", more than n_group = ", config.n_group);
  }
  if (config.num_experts_per_tok > config.topk_group * group_size) {
    return invalid_error(fields.where("num_experts_per_tok"), " is ", config.num_experts_per_tok,
                         ", but ", config.topk_group, " groups of ", group_size,
                         " experts hold only ", config.topk_group * group_size);
  }
  if (config.topk_method == TopkMethod::kNoauxTc && config.n_group > 1 && group_size < 2) {
    return invalid_error(fields.where("n_group"), " is ", config.n_group,
                         ": a group of noaux_tc counts by its two best "
                         "experts, but has only ",
                         group_size);
  }
  return {};
}

// Lists that newer files write beside first_k_dense_replace must say the same.
Status check_layer_lists(const ConfigFields& fields, const ModelConfig& config) {
  for (std::string_view name : {"layer_types", "mlp_layer_types"}) {
    const Json* list = fields.find(name);
    if (list == nullptr) continue;
    if (!list->is_array()) return fields.wrong_type(name, "an array");
    int64_t layer_idx = 0;
    for (const Json& type : list->as_array()) {
      const std::string_view expected = name == "layer_types"            ? "full_attention"
                                        : config.is_moe_layer(layer_idx) ? "sparse"
                                                                         : "dense";
      if (!type.is_string() || type.as_string() != expected) {
        return unsupported_error(fields.where(name), " says ", printable(type.dump(), 60),
                                 " for layer ", layer_idx, ", expected ", expected);
      }
      ++layer_idx;
    }
  }
  return {};
}

Status parse_token_ids(const ConfigFields& fields, ModelConfig& config) {
  const auto id = [&](std::string_view name, const Json& json) -> Result<int32_t> {
    if (!json.is_int()) return fields.wrong_type(name, "a token id, a list of them or null");
    if (json.as_int() < 0 || json.as_int() >= config.vocab_size) {
      return invalid_error(fields.where(name), " is ", json.as_int(), ", expected 0 to ",
                           config.vocab_size - 1, " (vocab_size is ", config.vocab_size, ")");
    }
    return static_cast<int32_t>(json.as_int());
  };
  if (const Json* bos = fields.find("bos_token_id")) {
    FATHOM_TRY(config.bos_token_id, id("bos_token_id", *bos));
  }
  const Json* eos = fields.find("eos_token_id");
  if (eos == nullptr) return {};
  if (!eos->is_array()) {
    FATHOM_TRY(const int32_t value, id("eos_token_id", *eos));
    config.eos_token_id.push_back(value);
    return {};
  }
  for (const Json& json : eos->as_array()) {
    FATHOM_TRY(const int32_t value, id("eos_token_id", json));
    config.eos_token_id.push_back(value);
  }
  return {};
}

}  // namespace

std::string_view ModelConfig::family() const {
  if (model_type == "deepseek_v2") return "DeepSeek-V2";
  if (model_type == "kimi_k2") return "Kimi-K2";
  return "DeepSeek-V3";
}

std::string_view topk_method_name(TopkMethod method) {
  switch (method) {
    case TopkMethod::kGreedy:
      return "greedy";
    case TopkMethod::kGroupLimitedGreedy:
      return "group_limited_greedy";
    case TopkMethod::kNoauxTc:
      return "noaux_tc";
  }
  return "";
}

std::string_view scoring_func_name(ScoringFunc func) {
  switch (func) {
    case ScoringFunc::kSoftmax:
      return "softmax";
    case ScoringFunc::kSigmoid:
      return "sigmoid";
  }
  return "";
}

Result<ModelConfig> parse_model_config(std::string_view json_text,
                                       const std::string& display_name) {
  auto json = parse_json(json_text);
  if (!json.ok()) return invalid_error(display_name, " is ", json.error().message);
  if (!json->is_object())
    return invalid_error(display_name, " is ", json->type_name(), ", expected an object");
  const ConfigFields fields(*json, display_name);
  ModelConfig config;
  FATHOM_RETURN_IF_ERROR(parse_family(fields, config));
  FATHOM_RETURN_IF_ERROR(refuse_foreign(fields));
  FATHOM_RETURN_IF_ERROR(fields.require("hidden_act", {"silu"}, "silu"));
  FATHOM_RETURN_IF_ERROR(parse_sizes(fields, config));
  FATHOM_RETURN_IF_ERROR(parse_router(fields, config));
  FATHOM_RETURN_IF_ERROR(check_layer_lists(fields, config));
  FATHOM_RETURN_IF_ERROR(parse_rope(fields, config));
  FATHOM_RETURN_IF_ERROR(parse_quantization(fields, config));
  FATHOM_RETURN_IF_ERROR(parse_token_ids(fields, config));
  FATHOM_TRY(config.tie_word_embeddings, fields.boolean("tie_word_embeddings", false));
  for (std::string_view name : {"torch_dtype", "dtype"}) {
    if (const Json* dtype = fields.find(name); dtype != nullptr && dtype->is_string()) {
      config.torch_dtype = printable(dtype->as_string(), 40);
    }
  }
  return config;
}

}  // namespace fathom
