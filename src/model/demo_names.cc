#include "model/demo_names.h"

#include <charconv>
#include <vector>

#include "base/str_cat.h"
#include "io/printable.h"

namespace fathom {

namespace {

struct Module {
  std::string_view name;
  std::string_view demo;
  DemoSplit split;
};
constexpr Module kModules[] = {
    {"embed_tokens", "embed", DemoSplit::kRows},
    {"input_layernorm", "attn_norm", DemoSplit::kWhole},
    {"post_attention_layernorm", "ffn_norm", DemoSplit::kWhole},
    {"q_proj", "wq", DemoSplit::kRows},
    {"q_a_proj", "wq_a", DemoSplit::kWhole},
    {"q_a_layernorm", "q_norm", DemoSplit::kWhole},
    {"q_b_proj", "wq_b", DemoSplit::kRows},
    {"kv_a_proj_with_mqa", "wkv_a", DemoSplit::kWhole},
    {"kv_a_layernorm", "kv_norm", DemoSplit::kWhole},
    {"kv_b_proj", "wkv_b", DemoSplit::kRows},
    {"o_proj", "wo", DemoSplit::kColumns},
    {"gate", "gate", DemoSplit::kWhole},
    {"gate_proj", "w1", DemoSplit::kRows},
    {"down_proj", "w2", DemoSplit::kColumns},
    {"up_proj", "w3", DemoSplit::kRows},
    {"norm", "norm", DemoSplit::kWhole},
    {"lm_head", "head", DemoSplit::kRows},
};

std::vector<std::string_view> components(std::string_view name) {
  std::vector<std::string_view> out;
  for (;;) {
    const size_t dot = name.find('.');
    out.push_back(name.substr(0, dot));
    if (dot == std::string_view::npos) return out;
    name.remove_prefix(dot + 1);
  }
}

struct Field {
  std::string_view demo;
  std::string_view name;
  std::optional<double> fallback;  // of the demo's code; none: required
  bool integer = true;
};
// In the order in which published configs tell a model.
constexpr Field kFields[] = {
    {"vocab_size", "vocab_size", 102400},
    {"dim", "hidden_size", std::nullopt},
    {"inter_dim", "intermediate_size", 10944},
    {"moe_inter_dim", "moe_intermediate_size", 1408},
    {"n_layers", "num_hidden_layers", 27},
    {"n_dense_layers", "first_k_dense_replace", 1},
    {"n_heads", "num_attention_heads", 16},
    {"n_routed_experts", "n_routed_experts", 64},
    {"n_shared_experts", "n_shared_experts", 2},
    {"n_activated_experts", "num_experts_per_tok", 6},
    {"n_expert_groups", "n_group", 1},
    {"n_limited_groups", "topk_group", 1},
    {"route_scale", "routed_scaling_factor", 1.0, false},
    {"q_lora_rank", "q_lora_rank", 0},
    {"kv_lora_rank", "kv_lora_rank", 512},
    {"qk_nope_head_dim", "qk_nope_head_dim", 128},
    {"qk_rope_head_dim", "qk_rope_head_dim", 64},
    {"v_head_dim", "v_head_dim", 128},
    {"rope_theta", "rope_theta", 10000.0, false},
};
// Others that the demo's config may hold: of rope, of the run, and those told by other fields.
constexpr std::string_view kOtherFields[] = {
    "original_seq_len", "rope_factor", "beta_fast",      "beta_slow",   "mscale",        "dtype",
    "scale_fmt",        "score_func",  "max_batch_size", "max_seq_len", "max_batch_size"};

std::string text_of(const Json& demo, std::string_view key, std::string_view fallback) {
  const Json* found = demo.find(key);
  if (found == nullptr || found->is_null()) return std::string(fallback);
  return found->is_string() ? found->as_string() : found->dump();
}

Json number_or(const Json& demo, std::string_view key, Json fallback) {
  const Json* found = demo.find(key);
  return found == nullptr ? std::move(fallback) : *found;
}

Status check_known(const Json& demo, const std::string& display_name) {
  for (const auto& [key, value] : demo.as_object()) {
    bool known = false;
    for (const Field& field : kFields) known = known || field.demo == key;
    for (const std::string_view other : kOtherFields) known = known || other == key;
    if (!known) {
      return unsupported_error(display_name, ": ", printable(key),
                               " is not known of the demo's configs");
    }
  }
  return {};
}

}  // namespace

std::optional<DemoTensor> demo_tensor(std::string_view name) {
  std::vector<std::string_view> parts = components(name);
  if (parts.size() < 2) return std::nullopt;
  if (parts.front() == "model") parts.erase(parts.begin());
  if (parts.size() < 2) return std::nullopt;
  DemoTensor out;
  const Module* module = nullptr;
  for (const Module& known : kModules) {
    if (known.name == parts[parts.size() - 2]) module = &known;
  }
  if (module == nullptr) return std::nullopt;
  out.split = module->split;
  if (parts.size() >= 3 && parts[parts.size() - 3] == "shared_head") return std::nullopt;
  parts[parts.size() - 2] = module->demo;
  for (std::string_view& part : parts) {
    if (part == "self_attn") part = "attn";
    if (part == "mlp") part = "ffn";
    if (part == "weight_scale_inv") part = "scale";
    if (part == "e_score_correction_bias") part = "bias";
  }
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    if (parts[i] != "experts") continue;
    out.split = DemoSplit::kExpert;
    const std::string_view digits = parts[i + 1];
    const auto [end, ec] =
        std::from_chars(digits.data(), digits.data() + digits.size(), out.expert);
    if (ec != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  }
  for (const std::string_view part : parts) str_append(out.name, out.name.empty() ? "" : ".", part);
  return out;
}

bool is_demo_config(const Json& config) {
  return config.find("dim") != nullptr && config.find("hidden_size") == nullptr;
}

Result<Json> published_config(const Json& demo, bool has_router_bias,
                              const std::string& display_name) {
  FATHOM_RETURN_IF_ERROR(check_known(demo, display_name));
  const std::string scoring = text_of(demo, "score_func", "softmax");
  const std::string dtype = text_of(demo, "dtype", "bf16");
  if (scoring != "softmax" && scoring != "sigmoid") {
    return unsupported_error(display_name, ": score_func is ", printable(scoring),
                             ", expected softmax or sigmoid");
  }
  if (dtype != "bf16" && dtype != "fp8") {
    return unsupported_error(display_name, ": dtype is ", printable(dtype),
                             ", expected bf16 or fp8");
  }
  const bool v3 = has_router_bias;
  Json out = Json::object();
  out.set("architectures",
          Json::Array{Json(v3 ? "DeepseekV3ForCausalLM" : "DeepseekV2ForCausalLM")});
  out.set("model_type", v3 ? "deepseek_v3" : "deepseek_v2");
  for (const Field& field : kFields) {
    const Json* found = demo.find(field.demo);
    if (found != nullptr) {
      out.set(field.name, *found);
    } else if (!field.fallback) {
      return invalid_error(display_name, ": ", field.demo, " is missing");
    } else if (field.integer) {
      out.set(field.name, static_cast<int64_t>(*field.fallback));
    } else {
      out.set(field.name, *field.fallback);
    }
  }
  out.set("num_key_value_heads", *out.find("num_attention_heads"));
  const Json* rank = out.find("q_lora_rank");
  if (rank->is_int() && rank->as_int() == 0) out.set("q_lora_rank", Json());
  const Json* groups = out.find("n_group");
  const bool grouped = groups->is_int() && groups->as_int() > 1;
  out.set("topk_method", v3 ? "noaux_tc" : grouped ? "group_limited_greedy" : "greedy");
  out.set("scoring_func", scoring);
  out.set("norm_topk_prob", scoring == "sigmoid");
  out.set("num_nextn_predict_layers", 0);
  out.set("moe_layer_freq", 1);
  out.set("hidden_act", "silu");
  out.set("rms_norm_eps", 1e-6);
  const Json mscale = number_or(demo, "mscale", 1.0);
  const Json original = number_or(demo, "original_seq_len", 4096);
  const Json factor = number_or(demo, "rope_factor", 40);
  out.set("rope_scaling", Json::Object{{"type", "yarn"},
                                       {"factor", factor},
                                       {"original_max_position_embeddings", original},
                                       {"beta_fast", number_or(demo, "beta_fast", 32)},
                                       {"beta_slow", number_or(demo, "beta_slow", 1)},
                                       {"mscale", mscale},
                                       {"mscale_all_dim", mscale}});
  const double positions =
      factor.is_number() && original.is_number() ? factor.as_double() * original.as_double() : 0;
  out.set("max_position_embeddings",
          positions >= 1 && positions < 1e9 ? static_cast<int64_t>(positions) : 0);
  out.set("tie_word_embeddings", false);
  out.set("torch_dtype", "bfloat16");
  if (dtype == "fp8") {
    Json::Object quantization = {
        {"activation_scheme", "dynamic"}, {"fmt", "e4m3"}, {"quant_method", "fp8"}};
    if (text_of(demo, "scale_fmt", "") == "ue8m0") quantization.emplace_back("scale_fmt", "ue8m0");
    quantization.emplace_back("weight_block_size", Json::Array{Json(128), Json(128)});
    out.set("quantization_config", Json(std::move(quantization)));
  }
  return out;
}

}  // namespace fathom
