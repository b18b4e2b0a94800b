#include "model/gguf_names.h"

#include <charconv>

#include "base/str_cat.h"
#include "model/weights.h"

namespace fathom {

namespace {

struct NamePair {
  std::string_view gguf, published;
};

constexpr NamePair kModel[] = {
    {"token_embd.weight", "model.embed_tokens.weight"},
    {"output_norm.weight", "model.norm.weight"},
    {"output.weight", "lm_head.weight"},
};

// Behind "blk.N." and "model.layers.N.".
constexpr NamePair kLayer[] = {
    {"attn_norm.weight", "input_layernorm.weight"},
    {"ffn_norm.weight", "post_attention_layernorm.weight"},
    {"attn_q.weight", "self_attn.q_proj.weight"},
    {"attn_q_a.weight", "self_attn.q_a_proj.weight"},
    {"attn_q_a_norm.weight", "self_attn.q_a_layernorm.weight"},
    {"attn_q_b.weight", "self_attn.q_b_proj.weight"},
    {"attn_kv_a_mqa.weight", "self_attn.kv_a_proj_with_mqa.weight"},
    {"attn_kv_a_norm.weight", "self_attn.kv_a_layernorm.weight"},
    {"attn_kv_b.weight", "self_attn.kv_b_proj.weight"},
    {"attn_output.weight", "self_attn.o_proj.weight"},
    {"ffn_gate.weight", "mlp.gate_proj.weight"},
    {"ffn_up.weight", "mlp.up_proj.weight"},
    {"ffn_down.weight", "mlp.down_proj.weight"},
    {"ffn_gate_inp.weight", "mlp.gate.weight"},
    {"exp_probs_b.bias", "mlp.gate.e_score_correction_bias"},
    {"ffn_gate_shexp.weight", "mlp.shared_experts.gate_proj.weight"},
    {"ffn_up_shexp.weight", "mlp.shared_experts.up_proj.weight"},
    {"ffn_down_shexp.weight", "mlp.shared_experts.down_proj.weight"},
    {"nextn.eh_proj.weight", "eh_proj.weight"},
    {"nextn.embed_tokens.weight", "embed_tokens.weight"},
    {"nextn.enorm.weight", "enorm.weight"},
    {"nextn.hnorm.weight", "hnorm.weight"},
    {"nextn.shared_head_head.weight", "shared_head.head.weight"},
    {"nextn.shared_head_norm.weight", "shared_head.norm.weight"},
};

constexpr NamePair kExperts[] = {
    {"ffn_gate_exps.weight", ".gate_proj.weight"},
    {"ffn_up_exps.weight", ".up_proj.weight"},
    {"ffn_down_exps.weight", ".down_proj.weight"},
};

struct LayerName {
  int64_t layer_idx;
  std::string_view rest;
};
std::optional<LayerName> split_layer(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  const size_t dot = name.find('.');
  // No model has a number of more digits, and leading zeros would give one layer two names.
  if (dot == std::string_view::npos || dot == 0 || dot > 6 || (dot > 1 && name[0] == '0'))
    return std::nullopt;
  LayerName out{0, name.substr(dot + 1)};
  const auto [end, ec] = std::from_chars(name.data(), name.data() + dot, out.layer_idx);
  if (ec != std::errc() || end != name.data() + dot || name[0] == '-') return std::nullopt;
  return out;
}

}  // namespace

std::string gguf_layer_prefix(int64_t layer_idx) { return str_cat("blk.", layer_idx, "."); }

std::optional<PublishedName> published_name(std::string_view gguf_name) {
  if (gguf_name == "rope_freqs.weight") return PublishedName{GgufPart::kNotNeeded, {}, {}, {}};
  for (const NamePair& pair : kModel) {
    if (pair.gguf == gguf_name)
      return PublishedName{GgufPart::kWhole, std::string(pair.published), {}, {}};
  }
  const std::optional<LayerName> layer = split_layer(gguf_name, "blk.");
  if (!layer) return std::nullopt;
  const std::string prefix = layer_prefix(layer->layer_idx);
  for (const NamePair& pair : kLayer) {
    if (pair.gguf == layer->rest)
      return PublishedName{GgufPart::kWhole, str_cat(prefix, pair.published), {}, {}};
  }
  const std::string experts = prefix + "mlp.experts.";
  for (const NamePair& pair : kExperts) {
    if (pair.gguf == layer->rest)
      return PublishedName{GgufPart::kExperts, {}, experts, std::string(pair.published)};
  }
  if (layer->rest == "ffn_gate_up_exps.weight")
    return PublishedName{GgufPart::kGateUp, {}, experts, {}};
  const std::string kv_b = prefix + "self_attn.kv_b_proj.weight";
  if (layer->rest == "attn_k_b.weight") return PublishedName{GgufPart::kKeyB, kv_b, {}, {}};
  if (layer->rest == "attn_v_b.weight") return PublishedName{GgufPart::kValueB, kv_b, {}, {}};
  if (layer->rest == "attn_rot_embd.weight") return PublishedName{GgufPart::kNotNeeded, {}, {}, {}};
  return std::nullopt;
}

std::optional<std::string> gguf_name(std::string_view published) {
  for (const NamePair& pair : kModel) {
    if (pair.published == published) return std::string(pair.gguf);
  }
  const std::optional<LayerName> layer = split_layer(published, "model.layers.");
  if (!layer || layer->rest == "self_attn.kv_b_proj.weight") return std::nullopt;
  for (const NamePair& pair : kLayer) {
    if (pair.published == layer->rest)
      return gguf_layer_prefix(layer->layer_idx) + std::string(pair.gguf);
  }
  return std::nullopt;
}

}  // namespace fathom
