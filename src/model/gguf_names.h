// The names that tensors have in GGUF files of the architecture deepseek2, and how their rows lie
// there. Rotary rows are in the order of the published files: pairs are neighbours (the
// architecture's rotation is the interleaved one), nothing is permuted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fathom {

enum class GgufPart : uint8_t {
  kWhole,      // the published tensor as it is
  kExperts,    // [n_routed_experts, n, k]: the matrices of all experts, one after the other
  kGateUp,     // [n_routed_experts, 2 n, k]: gate_proj and up_proj of each expert
  kKeyB,       // [n_heads, kv_lora_rank, qk_nope_head_dim]: kv_b_proj's keys, turned per head
  kValueB,     // [n_heads, v_head_dim, kv_lora_rank]: kv_b_proj's values
  kNotNeeded,  // a table that follows from the config
};

struct PublishedName {
  GgufPart part = GgufPart::kWhole;
  std::string name;  // kWhole, kKeyB, kValueB (kv_b_proj): of the tensor
  // kExperts: "model.layers.4.mlp.experts." and ".gate_proj.weight"; of kGateUp the prefix.
  std::string prefix, suffix;
};
// None if the name is not one of the architecture.
std::optional<PublishedName> published_name(std::string_view gguf_name);

// The other way: of a published tensor that becomes one tensor of the file. None for experts,
// kv_b_proj, and what has no place.
std::optional<std::string> gguf_name(std::string_view published);

// "blk.4."
std::string gguf_layer_prefix(int64_t layer_idx);

}  // namespace fathom
