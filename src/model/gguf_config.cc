#include "model/gguf_config.h"

#include <cmath>
#include <limits>
#include <map>
#include <optional>

#include "io/printable.h"

namespace fathom {

namespace {

// Values of "expert_gating_func".
constexpr int64_t kGatingSoftmax = 1;
constexpr int64_t kGatingSigmoid = 2;

// Typed access to "deepseek2.<key>".
class Fields {
 public:
  Fields(const GgufMetadata& metadata, const std::string& name)
      : metadata_(metadata), name_(name) {}

  static std::string key_of(std::string_view key) { return str_cat(kGgufArchitecture, ".", key); }
  std::string where(std::string_view key) const { return str_cat(name_, ": ", key_of(key)); }
  const GgufValue* find(std::string_view key) const {
    return find_gguf_value(metadata_, key_of(key));
  }

  // An array (one value for each layer) counts if all are the same.
  Result<std::optional<int64_t>> optional_integer(std::string_view key) const {
    const GgufValue* value = find(key);
    if (value == nullptr) return std::optional<int64_t>();
    const std::optional<int64_t> first = value->integer(0);
    if (!first || *first < 0) return invalid_error(where(key), " is no count");
    for (int64_t i = 1; i < value->size(); ++i) {
      if (value->integer(i) != first)
        return unsupported_error(where(key), " is not the same for all layers");
    }
    return first;
  }
  Result<int64_t> integer(std::string_view key) const {
    FATHOM_TRY(const std::optional<int64_t> value, optional_integer(key));
    if (!value) return invalid_error(where(key), " is missing");
    return *value;
  }
  Result<int64_t> integer(std::string_view key, int64_t absent) const {
    FATHOM_TRY(const std::optional<int64_t> value, optional_integer(key));
    return value.value_or(absent);
  }
  // Numbers are F32 in these files; as a Json of an F32 they are written as config.json has them.
  Result<std::optional<float>> optional_number(std::string_view key) const {
    const GgufValue* value = find(key);
    if (value == nullptr) return std::optional<float>();
    const std::optional<double> number = value->is_array() ? std::nullopt : value->number();
    if (!number || !(std::fabs(*number) <= std::numeric_limits<float>::max()))
      return invalid_error(where(key), " is no finite number");
    return std::optional<float>(static_cast<float>(*number));
  }
  Result<float> number(std::string_view key, std::optional<float> absent) const {
    FATHOM_TRY(const std::optional<float> value, optional_number(key));
    if (!value && !absent) return invalid_error(where(key), " is missing");
    return value ? *value : *absent;
  }
  Result<bool> boolean(std::string_view key, bool absent) const {
    const GgufValue* value = find(key);
    if (value == nullptr) return absent;
    const std::optional<bool> flag = value->is_array() ? std::nullopt : value->boolean();
    if (!flag) return invalid_error(where(key), " is no boolean");
    return *flag;
  }
  Result<std::string> text(std::string_view key, std::string_view absent) const {
    const GgufValue* value = find(key);
    if (value == nullptr) return std::string(absent);
    const auto text = value->is_array() ? std::nullopt : value->string();
    if (!text) return invalid_error(where(key), " is no text");
    return std::string(*text);
  }

 private:
  const GgufMetadata& metadata_;
  const std::string& name_;
};

// 0.1 times the number, as converters write it, back to the number.
double undo_tenth(float value) {
  const double number = std::round(double{value} * 10 * 1e6) / 1e6;
  return static_cast<float>(0.1 * number) == value ? number : double{value} * 10;
}

class Reader {
 public:
  Reader(const GgufParts& parts, const std::string& name)
      : parts_(parts), name_(name), fields_(parts.metadata, name) {}

  Result<GgufConfig> run() {
    FATHOM_RETURN_IF_ERROR(check_architecture());
    FATHOM_RETURN_IF_ERROR(refuse_foreign());
    FATHOM_RETURN_IF_ERROR(read_sizes());
    FATHOM_RETURN_IF_ERROR(read_heads());
    FATHOM_RETURN_IF_ERROR(read_router());
    FATHOM_RETURN_IF_ERROR(read_rope());
    FATHOM_RETURN_IF_ERROR(read_token_ids());
    out_.json.set("tie_word_embeddings", find_tensor("output.weight") == nullptr);
    out_.json.set("torch_dtype", most_common_dtype());
    FATHOM_TRY(out_.config, parse_model_config(out_.json.dump(), name_));
    return std::move(out_);
  }

 private:
  const Tensor* find_tensor(std::string_view name) const {
    for (const CheckpointTensor& entry : parts_.tensors) {
      if (entry.name == name) return &entry.tensor;
    }
    return nullptr;
  }

  Status check_architecture() const {
    const GgufValue* value = find_gguf_value(parts_.metadata, "general.architecture");
    const auto text = value == nullptr || value->is_array() ? std::nullopt : value->string();
    if (!text) return invalid_error(name_, ": general.architecture is missing or no text");
    if (*text == kGgufArchitecture) return {};
    return unsupported_error(name_, ": general.architecture is ", printable(*text, 40),
                             ", supported is ", kGgufArchitecture,
                             " (DeepSeek-V2, V3, R1, Moonlight, Kimi-K2)");
  }

  // What relatives of the architecture's files ask for, and we do not do.
  Status refuse_foreign() const {
    constexpr std::string_view kNotOne[] = {"rope.scaling.attn_factor",
                                            "rope.scaling.yarn_attn_factor",
                                            "rope.scaling.yarn_ext_factor"};
    for (const std::string_view key : kNotOne) {
      FATHOM_TRY(const float value, fields_.number(key, 1.0f));
      if (value != 1.0f)
        return unsupported_error(fields_.where(key), " is ", value, ", only 1 is supported");
    }
    constexpr std::string_view kNotZero[] = {"attention.temperature_scale",
                                             "attention.indexer.top_k", "attention.sliding_window"};
    for (const std::string_view key : kNotZero) {
      FATHOM_TRY(const float value, fields_.number(key, 0.0f));
      if (value != 0.0f)
        return unsupported_error(fields_.where(key), " is ", value, ", which is not supported");
    }
    return {};
  }

  Status read_sizes() {
    const Tensor* embedding = find_tensor("token_embd.weight");
    const bool known = embedding != nullptr && embedding->shape.size() == 2;
    FATHOM_TRY(const int64_t vocab_size,
               fields_.integer("vocab_size", known ? embedding->shape[0] : 0));
    FATHOM_TRY(const int64_t n_blocks, fields_.integer("block_count"));
    FATHOM_TRY(const int64_t n_mtp, fields_.integer("nextn_predict_layers", 0));
    if (n_mtp >= n_blocks)
      return invalid_error(fields_.where("nextn_predict_layers"), " is ", n_mtp,
                           ", but block_count is ", n_blocks, " and counts these too");
    n_layers_ = n_blocks - n_mtp;
    FATHOM_TRY(const int64_t hidden, fields_.integer("embedding_length"));
    FATHOM_TRY(const int64_t width, fields_.integer("feed_forward_length"));
    FATHOM_TRY(const int64_t expert_width, fields_.integer("expert_feed_forward_length"));
    FATHOM_TRY(const int64_t context, fields_.integer("context_length"));
    FATHOM_TRY(const int64_t n_dense, fields_.integer("leading_dense_block_count", 0));
    FATHOM_TRY(const float eps, fields_.number("attention.layer_norm_rms_epsilon", std::nullopt));
    set("vocab_size", vocab_size);
    set("hidden_size", hidden);
    set("intermediate_size", width);
    set("moe_intermediate_size", expert_width);
    set("num_hidden_layers", n_layers_);
    set("num_nextn_predict_layers", n_mtp);
    set("first_k_dense_replace", n_dense);
    set("max_position_embeddings", context);
    set("rms_norm_eps", eps);
    set("hidden_act", "silu");
    return {};
  }

  Status read_heads() {
    FATHOM_TRY(const int64_t n_heads, fields_.integer("attention.head_count"));
    FATHOM_TRY(const int64_t q_rank, fields_.integer("attention.q_lora_rank", 0));
    FATHOM_TRY(const int64_t kv_rank, fields_.integer("attention.kv_lora_rank"));
    FATHOM_TRY(const int64_t rope, fields_.integer("rope.dimension_count"));
    // Newer files have the cache's sizes in key_length and value_length, and the heads' beside.
    FATHOM_TRY(std::optional<int64_t> key, fields_.optional_integer("attention.key_length_mla"));
    FATHOM_TRY(std::optional<int64_t> value,
               fields_.optional_integer("attention.value_length_mla"));
    if (!key) {
      FATHOM_TRY(key, fields_.integer("attention.key_length"));
    }
    if (!value) {
      FATHOM_TRY(value, fields_.integer("attention.value_length"));
    }
    if (*key <= rope)
      return invalid_error(fields_.where("attention.key_length"), " is ", *key,
                           ", but the rotary part alone has ", rope);
    set("num_attention_heads", n_heads);
    set("num_key_value_heads", n_heads);
    out_.json.set("q_lora_rank", q_rank == 0 ? Json() : Json(q_rank));
    set("kv_lora_rank", kv_rank);
    set("qk_nope_head_dim", *key - rope);
    set("qk_rope_head_dim", rope);
    set("v_head_dim", *value);
    return {};
  }

  Status read_router() {
    FATHOM_TRY(const int64_t n_experts, fields_.integer("expert_count"));
    FATHOM_TRY(const int64_t n_used, fields_.integer("expert_used_count"));
    FATHOM_TRY(const int64_t n_shared, fields_.integer("expert_shared_count", 0));
    FATHOM_TRY(const float scale, fields_.number("expert_weights_scale", 1.0f));
    FATHOM_TRY(const bool norm, fields_.boolean("expert_weights_norm", false));
    // Files of V2 were made before there was the key.
    FATHOM_TRY(const int64_t gating, fields_.integer("expert_gating_func", kGatingSoftmax));
    if (gating != kGatingSoftmax && gating != kGatingSigmoid)
      return unsupported_error(fields_.where("expert_gating_func"), " is ", gating,
                               ", supported are 1 (softmax) and 2 (sigmoid)");
    const bool v2 = gating == kGatingSoftmax;
    FATHOM_TRY(std::optional<int64_t> n_group, fields_.optional_integer("expert_group_count"));
    FATHOM_TRY(std::optional<int64_t> topk_group,
               fields_.optional_integer("expert_group_used_count"));
    if (!n_group || !topk_group) assume_groups(n_experts, v2, n_group, topk_group);
    const bool grouped = *n_group > 1;
    set("model_type", v2 ? "deepseek_v2" : is_kimi(n_experts) ? "kimi_k2" : "deepseek_v3");
    out_.json.set("architectures",
                  Json::Array{Json(v2 ? "DeepseekV2ForCausalLM" : "DeepseekV3ForCausalLM")});
    set("n_routed_experts", n_experts);
    set("n_shared_experts", n_shared);
    set("num_experts_per_tok", n_used);
    set("n_group", grouped ? *n_group : 1);
    set("topk_group", grouped ? *topk_group : 1);
    set("topk_method", !v2 ? "noaux_tc" : grouped ? "group_limited_greedy" : "greedy");
    set("scoring_func", v2 ? "softmax" : "sigmoid");
    set("norm_topk_prob", norm);
    set("routed_scaling_factor", scale);
    set("moe_layer_freq", 1);
    return {};
  }

  void assume_groups(int64_t n_experts, bool v2, std::optional<int64_t>& n_group,
                     std::optional<int64_t>& topk_group) {
    const bool v3_sizes = !v2 && n_experts == 256 && n_layers_ == 61;
    const bool v2_sizes = v2 && n_experts == 160 && n_layers_ == 60;
    n_group = v3_sizes || v2_sizes ? 8 : 1;
    topk_group = v3_sizes ? 4 : v2_sizes ? 3 : 1;
    const std::string keys = str_cat(name_, " does not say how its experts are grouped (",
                                     kGgufArchitecture, ".expert_group_count)");
    if (*n_group == 1) {
      out_.notes.push_back(keys + "; taken as one group");
    } else {
      out_.notes.push_back(str_cat(keys, "; its sizes are those of DeepSeek-",
                                   v3_sizes ? "V3" : "V2", ", so n_group is taken as ", *n_group,
                                   " and topk_group as ", *topk_group));
    }
  }

  bool is_kimi(int64_t n_experts) const {
    const GgufValue* pre = find_gguf_value(parts_.metadata, "tokenizer.ggml.pre");
    return n_experts == 384 && pre != nullptr && pre->string() == "kimi-k2";
  }

  Status read_rope() {
    FATHOM_TRY(const float theta, fields_.number("rope.freq_base", 10000.0f));
    set("rope_theta", theta);
    FATHOM_TRY(const std::string type, fields_.text("rope.scaling.type", "none"));
    if (type == "none") {
      set("rope_scaling", Json());
      return {};
    }
    if (type != "yarn")
      return unsupported_error(fields_.where("rope.scaling.type"), " is ", printable(type, 40),
                               ", supported are yarn and none");
    FATHOM_TRY(const float factor, fields_.number("rope.scaling.factor", std::nullopt));
    FATHOM_TRY(const int64_t original, fields_.integer("rope.scaling.original_context_length"));
    FATHOM_TRY(const float beta_fast, fields_.number("rope.scaling.yarn_beta_fast", 32.0f));
    FATHOM_TRY(const float beta_slow, fields_.number("rope.scaling.yarn_beta_slow", 1.0f));
    FATHOM_TRY(const float tenth, fields_.number("rope.scaling.yarn_log_multiplier", 0.0f));
    const double mscale_all_dim = undo_tenth(tenth);
    out_.json.set("rope_scaling",
                  Json::Object{{"type", "yarn"},
                               {"factor", factor},
                               {"original_max_position_embeddings", original},
                               {"beta_fast", beta_fast},
                               {"beta_slow", beta_slow},
                               {"mscale", mscale_all_dim == 0 ? 1.0 : mscale_all_dim},
                               {"mscale_all_dim", mscale_all_dim}});
    return {};
  }

  Status read_token_ids() {
    const std::pair<const char*, const char*> ids[] = {
        {"tokenizer.ggml.bos_token_id", "bos_token_id"},
        {"tokenizer.ggml.eos_token_id", "eos_token_id"}};
    for (const auto& [key, field] : ids) {
      const GgufValue* value = find_gguf_value(parts_.metadata, key);
      if (value == nullptr) continue;
      const std::optional<int64_t> id = value->is_array() ? std::nullopt : value->integer();
      if (!id) return invalid_error(name_, ": ", key, " is no token id");
      set(field, *id);
    }
    // The end of a turn, where it is another token.
    const GgufValue* eot = find_gguf_value(parts_.metadata, "tokenizer.ggml.eot_token_id");
    const Json* eos = out_.json.find("eos_token_id");
    if (eot == nullptr || !eot->integer() || eos == nullptr || eos->as_int() == *eot->integer())
      return {};
    out_.json.set("eos_token_id", Json::Array{*eos, Json(*eot->integer())});
    return {};
  }

  // Of the type that most bytes have: informative.
  std::string most_common_dtype() const {
    std::map<Dtype, int64_t> bytes;
    for (const CheckpointTensor& entry : parts_.tensors)
      bytes[entry.tensor.dtype] += entry.tensor.bytes();
    std::pair<Dtype, int64_t> best = {Dtype::kBF16, 0};
    for (const auto& [dtype, n] : bytes) {
      if (n > best.second) best = {dtype, n};
    }
    switch (best.first) {
      case Dtype::kF32:
        return "float32";
      case Dtype::kF16:
        return "float16";
      case Dtype::kBF16:
        return "bfloat16";
      default:
        return std::string(dtype_name(best.first));
    }
  }

  void set(std::string_view field, Json value) { out_.json.set(field, std::move(value)); }

  const GgufParts& parts_;
  const std::string& name_;
  const Fields fields_;
  int64_t n_layers_ = 0;
  GgufConfig out_ = {{}, Json::object(), {}};
};

}  // namespace

std::string gguf_tokenizer_config(const GgufMetadata& metadata) {
  Json json = Json::object();
  const GgufValue* tokens = find_gguf_value(metadata, "tokenizer.ggml.tokens");
  for (const std::string_view name : {"bos_token", "eos_token"}) {
    const GgufValue* id = find_gguf_value(metadata, str_cat("tokenizer.ggml.", name, "_id"));
    if (tokens == nullptr || id == nullptr) continue;
    const auto token = tokens->string(id->integer().value_or(-1));
    if (token) json.set(name, *token);
  }
  for (const std::string_view name : {"add_bos_token", "add_eos_token"}) {
    const GgufValue* flag = find_gguf_value(metadata, str_cat("tokenizer.ggml.", name));
    json.set(name, flag != nullptr && flag->boolean().value_or(false));
  }
  const GgufValue* chat_template = find_gguf_value(metadata, "tokenizer.chat_template");
  if (chat_template != nullptr && chat_template->string())
    json.set("chat_template", *chat_template->string());
  return json.dump() + "\n";
}

Result<GgufConfig> gguf_config(const GgufParts& parts, const std::string& display_name) {
  return Reader(parts, display_name).run();
}

}  // namespace fathom
