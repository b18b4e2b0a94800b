// The tensors of a checkpoint, as data (spec §1.3).
#include "base/str_cat.h"
#include "model/weights.h"

namespace fathom {

namespace {

class List {
 public:
  explicit List(const ModelConfig& config) : c_(config) {}

  void add(std::string name, std::vector<int64_t> shape) {
    tensors.push_back({std::move(name), std::move(shape), false, false});
  }
  void add_quantised(std::string name, std::vector<int64_t> shape) {
    tensors.push_back({std::move(name), std::move(shape), true, false});
  }
  void add_optional(std::string name, std::vector<int64_t> shape) {
    tensors.push_back({std::move(name), std::move(shape), false, true});
  }

  void attention(const std::string& prefix) {
    const int64_t n_heads = c_.num_attention_heads;
    if (c_.has_q_lora()) {
      add_quantised(prefix + "q_a_proj.weight", {c_.q_lora_rank, c_.hidden_size});
      add(prefix + "q_a_layernorm.weight", {c_.q_lora_rank});
      add_quantised(prefix + "q_b_proj.weight", {n_heads * c_.qk_head_dim(), c_.q_lora_rank});
    } else {
      add_quantised(prefix + "q_proj.weight", {n_heads * c_.qk_head_dim(), c_.hidden_size});
    }
    add_quantised(prefix + "kv_a_proj_with_mqa.weight",
                  {c_.kv_lora_rank + c_.qk_rope_head_dim, c_.hidden_size});
    add(prefix + "kv_a_layernorm.weight", {c_.kv_lora_rank});
    add_quantised(prefix + "kv_b_proj.weight",
                  {n_heads * (c_.qk_nope_head_dim + c_.v_head_dim), c_.kv_lora_rank});
    add_quantised(prefix + "o_proj.weight", {c_.hidden_size, n_heads * c_.v_head_dim});
  }

  void mlp(const std::string& prefix, int64_t width) {
    add_quantised(prefix + "gate_proj.weight", {width, c_.hidden_size});
    add_quantised(prefix + "up_proj.weight", {width, c_.hidden_size});
    add_quantised(prefix + "down_proj.weight", {c_.hidden_size, width});
  }

  void moe(const std::string& prefix) {
    add(prefix + "gate.weight", {c_.n_routed_experts, c_.hidden_size});
    if (c_.has_router_bias()) add(prefix + "gate.e_score_correction_bias", {c_.n_routed_experts});
    for (int64_t expert = 0; expert < c_.n_routed_experts; ++expert) {
      mlp(str_cat(prefix, "experts.", expert, "."), c_.moe_intermediate_size);
    }
    // The shared experts are one MLP.
    if (c_.n_shared_experts > 0)
      mlp(prefix + "shared_experts.", c_.n_shared_experts * c_.moe_intermediate_size);
  }

  void layer(int64_t layer_idx) {
    const std::string prefix = layer_prefix(layer_idx);
    if (c_.is_mtp_layer(layer_idx)) {
      add(prefix + "enorm.weight", {c_.hidden_size});
      add(prefix + "hnorm.weight", {c_.hidden_size});
      add(prefix + "eh_proj.weight", {c_.hidden_size, 2 * c_.hidden_size});
      add_optional(prefix + "embed_tokens.weight", {c_.vocab_size, c_.hidden_size});
      add(prefix + "shared_head.norm.weight", {c_.hidden_size});
      add_optional(prefix + "shared_head.head.weight", {c_.vocab_size, c_.hidden_size});
    }
    add(prefix + "input_layernorm.weight", {c_.hidden_size});
    add(prefix + "post_attention_layernorm.weight", {c_.hidden_size});
    attention(prefix + "self_attn.");
    if (c_.is_moe_layer(layer_idx)) {
      moe(prefix + "mlp.");
    } else {
      mlp(prefix + "mlp.", c_.intermediate_size);
    }
  }

  std::vector<ExpectedTensor> tensors;

 private:
  const ModelConfig& c_;
};

}  // namespace

std::string layer_prefix(int64_t layer_idx) { return str_cat("model.layers.", layer_idx, "."); }

std::vector<ExpectedTensor> expected_tensors(const ModelConfig& config) {
  List list(config);
  list.add("model.embed_tokens.weight", {config.vocab_size, config.hidden_size});
  for (int64_t layer_idx = 0; layer_idx < config.num_hidden_layers; ++layer_idx)
    list.layer(layer_idx);
  list.add("model.norm.weight", {config.hidden_size});
  if (config.tie_word_embeddings) {
    list.add_optional("lm_head.weight", {config.vocab_size, config.hidden_size});
  } else {
    list.add("lm_head.weight", {config.vocab_size, config.hidden_size});
  }
  for (int64_t k = 0; k < config.num_nextn_predict_layers; ++k)
    list.layer(config.num_hidden_layers + k);
  return std::move(list.tensors);
}

}  // namespace fathom
