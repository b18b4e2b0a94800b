#include "model/config.h"

#include <algorithm>
#include <cmath>

#include "io/json.h"
#include "io/printable.h"
#include "model/config_fields.h"

namespace fathom {

namespace {

// Limits that no model of the family comes near, but that keep every product of sizes far from overflow.
constexpr int64_t kVocabMax = int64_t{1} << 24;
constexpr int64_t kWidthMax = int64_t{1} << 20;
constexpr int64_t kHeadDimMax = 8192;
constexpr int64_t kHeadsMax = 4096;
constexpr int64_t kLayersMax = 4096;
constexpr int64_t kMtpLayersMax = 16;
constexpr int64_t kExpertsMax = 65536;
constexpr int64_t kExpertsOfAllLayersMax = int64_t{1} << 18;  // the 671B model: 15,872; lists of tensors stay small
constexpr int64_t kPositionsMax = int64_t{1} << 30;

// Fields of relatives of the family that change what is computed; null, false, 0 and empty ask for nothing.
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

bool asks_for_nothing(const Json& json) {
  switch (json.type()) {
    case Json::Type::kNull: return true;
    case Json::Type::kBool: return !json.as_bool();
    case Json::Type::kString: return json.as_string().empty();
    case Json::Type::kArray: return json.as_array().empty();
    case Json::Type::kObject: return json.as_object().empty();
    default: return json.as_double() == 0;
  }
}

Status refuse_foreign(const ConfigFields& fields) {
  for (const Foreign& foreign : kForeign) {
    const Json* json = fields.find(foreign.field);
    if (json == nullptr || asks_for_nothing(*json)) continue;
    return unsupported_error(fields.where(foreign.field), " is ", printable(json->dump(), 60), ", which asks for ",
                             foreign.meaning, "; that is not supported");
  }
  return {};
}

Status parse_family(const ConfigFields& fields, ModelConfig& config) {
  FATHOM_TRY(config.model_type, fields.one_of("model_type", {"deepseek_v3", "deepseek_v2", "kimi_k2"}, std::nullopt));
  const Json* architectures = fields.find("architectures");
  if (architectures == nullptr) return {};
  if (!architectures->is_array()) return fields.wrong_type("architectures", "an array");
  for (const Json& name : architectures->as_array()) {
    if (name.is_string() && (name.as_string() == "DeepseekV3ForCausalLM" || name.as_string() == "DeepseekV2ForCausalLM")) {
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
  FATHOM_TRY(config.num_nextn_predict_layers, fields.integer("num_nextn_predict_layers", 0, kMtpLayersMax, 0));
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
  FATHOM_TRY(const int64_t kv_heads, fields.integer("num_key_value_heads", 1, kHeadsMax, config.num_attention_heads));
  if (kv_heads != config.num_attention_heads) {
    return invalid_error(fields.where("num_key_value_heads"), " is ", kv_heads, ", but num_attention_heads is ",
                         config.num_attention_heads, "; latent attention has as many");
  }
  FATHOM_TRY(const int64_t qk_head_dim, fields.integer("qk_head_dim", 1, 2 * kHeadDimMax, config.qk_head_dim()));
  if (qk_head_dim != config.qk_head_dim()) {
    return invalid_error(fields.where("qk_head_dim"), " is ", qk_head_dim, ", but qk_nope_head_dim + qk_rope_head_dim is ",
                         config.qk_head_dim());
  }
  FATHOM_TRY(config.max_position_embeddings, fields.integer("max_position_embeddings", 1, kPositionsMax));
  FATHOM_TRY(config.rms_norm_eps, fields.number("rms_norm_eps", 1e-30, 1));
  return {};
}

Status parse_router(const ConfigFields& fields, ModelConfig& config) {
  const bool v2 = config.model_type == "deepseek_v2";
  FATHOM_TRY(const std::string method, fields.one_of("topk_method", {"noaux_tc", "group_limited_greedy", "greedy"},
                                                     v2 ? "greedy" : "noaux_tc"));
  config.topk_method = method == "noaux_tc" ? TopkMethod::kNoauxTc
                       : method == "greedy" ? TopkMethod::kGreedy
                                            : TopkMethod::kGroupLimitedGreedy;
  FATHOM_TRY(const std::string scoring, fields.one_of("scoring_func", {"sigmoid", "softmax"}, v2 ? "softmax" : "sigmoid"));
  config.scoring_func = scoring == "sigmoid" ? ScoringFunc::kSigmoid : ScoringFunc::kSoftmax;
  FATHOM_TRY(config.norm_topk_prob, fields.boolean("norm_topk_prob", std::nullopt));
  FATHOM_TRY(config.routed_scaling_factor, fields.number("routed_scaling_factor", 1e-6, 1e6));
  if (v2 && config.norm_topk_prob && config.routed_scaling_factor != 1) {
    return unsupported_error(fields.where("routed_scaling_factor"), " is ", config.routed_scaling_factor,
                             " with norm_topk_prob: implementations of deepseek_v2 differ on whether both apply");
  }
  FATHOM_TRY(config.n_routed_experts, fields.integer("n_routed_experts", 1, kExpertsMax));
  FATHOM_TRY(config.n_shared_experts, fields.integer("n_shared_experts", 0, 64, 0));
  FATHOM_TRY(config.num_experts_per_tok, fields.integer("num_experts_per_tok", 1, kExpertsMax));
  FATHOM_TRY(config.first_k_dense_replace, fields.integer("first_k_dense_replace", 0, config.num_hidden_layers));
  if (config.n_routed_experts * config.n_layers_stored() > kExpertsOfAllLayersMax) {
    return unsupported_error(fields.where("n_routed_experts"), " is ", config.n_routed_experts, " in ",
                             config.n_layers_stored(), " layers, at most ", kExpertsOfAllLayersMax,
                             " experts in all are supported");
  }
  FATHOM_TRY(const int64_t freq, fields.integer("moe_layer_freq", 1, kLayersMax, 1));
  if (freq != 1) {
    return unsupported_error(fields.where("moe_layer_freq"), " is ", freq, "; only 1 (every layer after the dense ones) is supported");
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
    return invalid_error(fields.where("topk_group"), " is ", config.topk_group, ", more than n_group = ", config.n_group);
  }
  if (config.num_experts_per_tok > config.topk_group * group_size) {
    return invalid_error(fields.where("num_experts_per_tok"), " is ", config.num_experts_per_tok, ", but ",
                         config.topk_group, " groups of ", group_size, " experts hold only ", config.topk_group * group_size);
  }
  if (config.topk_method == TopkMethod::kNoauxTc && config.n_group > 1 && group_size < 2) {
    return invalid_error(fields.where("n_group"), " is ", config.n_group, ": a group of noaux_tc counts by its two best "
                         "experts, but has only ", group_size);
  }
  return {};
}

Result<std::optional<RopeScaling>> parse_scaling(const ConfigFields& fields, std::string_view name, const Json& json) {
  if (!json.is_object()) return fields.wrong_type(name, "an object or null");
  const ConfigFields rope(json, fields.where(name));
  // Older files say "type", transformers 5 says "rope_type", some say both.
  FATHOM_TRY(const std::string old_type, rope.one_of("type", {"yarn", "default"}, ""));
  FATHOM_TRY(const std::string new_type, rope.one_of("rope_type", {"yarn", "default"}, ""));
  if (!old_type.empty() && !new_type.empty() && old_type != new_type) {
    return invalid_error(rope.where("type"), " is ", old_type, ", but rope_type is ", new_type);
  }
  const std::string type = old_type.empty() ? new_type : old_type;
  if (type.empty() && rope.find("factor") != nullptr) {
    return invalid_error(rope.where("type"), " is missing beside a factor; expected \"yarn\"");
  }
  FATHOM_TRY(const double partial, rope.number("partial_rotary_factor", 0, 1, 1));
  if (partial != 1) return unsupported_error(rope.where("partial_rotary_factor"), " is ", partial, ", only 1 is supported");
  if (type != "yarn") return std::optional<RopeScaling>();

  for (std::string_view other : {"attention_factor", "attn_factor", "short_factor", "long_factor", "extrapolation_factor"}) {
    if (rope.find(other) != nullptr) return unsupported_error(rope.where(other), " is not supported");
  }
  FATHOM_TRY(const bool truncate, rope.boolean("truncate", true));
  if (!truncate) return unsupported_error(rope.where("truncate"), " is false, which is not supported");
  RopeScaling yarn;
  FATHOM_TRY(yarn.factor, rope.number("factor", 1, 1e6));
  FATHOM_TRY(yarn.original_max_position_embeddings, rope.integer("original_max_position_embeddings", 1, kPositionsMax));
  FATHOM_TRY(yarn.beta_fast, rope.number("beta_fast", 1e-6, 1e6, 32));
  FATHOM_TRY(yarn.beta_slow, rope.number("beta_slow", 1e-6, 1e6, 1));
  FATHOM_TRY(yarn.mscale, rope.number("mscale", 0, 100, 1));
  FATHOM_TRY(yarn.mscale_all_dim, rope.number("mscale_all_dim", 0, 100, 0));
  if (yarn.beta_fast < yarn.beta_slow) {
    return invalid_error(rope.where("beta_fast"), " is ", yarn.beta_fast, ", less than beta_slow = ", yarn.beta_slow);
  }
  return std::optional<RopeScaling>(yarn);
}

Status parse_rope(const ConfigFields& fields, ModelConfig& config) {
  const Json* scaling = fields.find("rope_scaling");
  const Json* parameters = fields.find("rope_parameters");
  if (scaling != nullptr) {
    FATHOM_TRY(config.rope_scaling, parse_scaling(fields, "rope_scaling", *scaling));
  }
  std::optional<double> theta;
  if (fields.find("rope_theta") != nullptr) {
    FATHOM_TRY(theta, fields.number("rope_theta", 1.0001, 1e15));
  }
  if (parameters != nullptr) {
    FATHOM_TRY(const std::optional<RopeScaling> yarn, parse_scaling(fields, "rope_parameters", *parameters));
    if (scaling != nullptr && yarn != config.rope_scaling) {
      return invalid_error(fields.where("rope_parameters"), " and rope_scaling do not say the same");
    }
    config.rope_scaling = yarn;
    const ConfigFields inner(*parameters, fields.where("rope_parameters"));
    if (inner.find("rope_theta") != nullptr) {
      FATHOM_TRY(const double value, inner.number("rope_theta", 1.0001, 1e15));
      if (theta && *theta != value) {
        return invalid_error(inner.where("rope_theta"), " is ", value, ", but the config's own is ", *theta);
      }
      theta = value;
    }
  }
  if (!theta) return invalid_error(fields.where("rope_theta"), " is missing");
  config.rope_theta = *theta;
  FATHOM_TRY(config.rope_interleave, fields.boolean("rope_interleave", true));
  return {};
}

// Modules left unquantised may be named only if they are never quantised anyway (spec §1.3).
Status check_unquantised(const ConfigFields& quantization, std::string_view name) {
  const Json* list = quantization.find(name);
  if (list == nullptr || asks_for_nothing(*list)) return {};
  if (!list->is_array()) return quantization.wrong_type(name, "an array");
  for (const Json& module : list->as_array()) {
    const std::string text = module.is_string() ? module.as_string() : std::string();
    const bool never = text.ends_with("lm_head") || text.ends_with("embed_tokens") || text.ends_with("gate") ||
                       text.ends_with("norm") || text.ends_with("eh_proj");
    if (!never) {
      return unsupported_error(quantization.where(name), " holds ", printable(module.dump(), 80),
                               ", a layer that published checkpoints quantise; that is not supported");
    }
  }
  return {};
}

Status parse_quantization(const ConfigFields& fields, ModelConfig& config) {
  const Json* json = fields.find("quantization_config");
  if (json == nullptr) return {};
  if (!json->is_object()) return fields.wrong_type("quantization_config", "an object or null");
  const ConfigFields quantization(*json, fields.where("quantization_config"));
  QuantizationConfig result;
  FATHOM_RETURN_IF_ERROR(quantization.require("quant_method", {"fp8"}, std::nullopt));
  FATHOM_RETURN_IF_ERROR(quantization.require("fmt", {"e4m3"}, "e4m3"));
  FATHOM_RETURN_IF_ERROR(quantization.require("activation_scheme", {"dynamic"}, "dynamic"));
  FATHOM_TRY(const std::string scale_fmt, quantization.one_of("scale_fmt", {"ue8m0", "float"}, "float"));
  result.ue8m0 = scale_fmt == "ue8m0";
  const Json* block = quantization.find("weight_block_size");
  const bool is_128 = block != nullptr && block->is_array() && block->as_array().size() == 2 &&
                      std::all_of(block->as_array().begin(), block->as_array().end(),
                                  [](const Json& side) { return side.is_int() && side.as_int() == 128; });
  if (!is_128) {
    return unsupported_error(quantization.where("weight_block_size"), " is ",
                             block == nullptr ? "missing" : printable(block->dump(), 60), ", only [128, 128] is supported");
  }
  FATHOM_RETURN_IF_ERROR(check_unquantised(quantization, "modules_to_not_convert"));
  FATHOM_RETURN_IF_ERROR(check_unquantised(quantization, "ignored_layers"));
  config.quantization_config = result;
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
        return unsupported_error(fields.where(name), " says ", printable(type.dump(), 60), " for layer ", layer_idx,
                                 ", expected ", expected);
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
      return invalid_error(fields.where(name), " is ", json.as_int(), ", expected 0 to ", config.vocab_size - 1,
                           " (vocab_size is ", config.vocab_size, ")");
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
    case TopkMethod::kGreedy: return "greedy";
    case TopkMethod::kGroupLimitedGreedy: return "group_limited_greedy";
    case TopkMethod::kNoauxTc: return "noaux_tc";
  }
  return "";
}

std::string_view scoring_func_name(ScoringFunc func) {
  switch (func) {
    case ScoringFunc::kSoftmax: return "softmax";
    case ScoringFunc::kSigmoid: return "sigmoid";
  }
  return "";
}

Result<ModelConfig> parse_model_config(std::string_view json_text, const std::string& display_name) {
  auto json = parse_json(json_text);
  if (!json.ok()) return invalid_error(display_name, " is ", json.error().message);
  if (!json->is_object()) return invalid_error(display_name, " is ", json->type_name(), ", expected an object");
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
