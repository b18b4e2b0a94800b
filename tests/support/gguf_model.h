// GGUF files of a tiny model, tensor by tensor, so that a test can break any part.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "io/gguf.h"
#include "model/gguf_config.h"
#include "tests/support/tiny_model.h"

namespace fathom::testing_support {

struct GgufModelFile {
  GgufMetadataBuilder metadata;
  TinyTensors tensors;  // under GGUF names
};

inline void write_gguf(const std::string& path, const GgufModelFile& file) {
  std::vector<TensorSpec> specs;
  for (const TinyTensor& tensor : file.tensors) specs.push_back(tensor.spec);
  auto writer = GgufWriter::create(path, file.metadata, specs, true);
  FATHOM_CHECK(writer.ok(), writer.ok() ? "" : writer.error().message);
  for (size_t i = 0; i < file.tensors.size(); ++i)
    FATHOM_CHECK(writer->write(i, std::as_bytes(std::span(file.tensors[i].bytes))).ok(), path);
  FATHOM_CHECK(writer->finish().ok(), path);
}

// The file of a model whose tensors are F32.
class TinyGguf {
 public:
  struct Layout {
    bool split_kv_b = false;
    bool gate_up = false;  // gate_proj and up_proj of all experts in one tensor
  };

  TinyGguf(const ModelConfig& config, TinyTensors published, Layout layout)
      : config_(config), published_(std::move(published)), layout_(layout) {
    file_.metadata.add_string("general.architecture", kGgufArchitecture);
    FATHOM_CHECK(add_gguf_config(config, file_.metadata).ok(), "config");
    file_.metadata.add_u32("tokenizer.ggml.bos_token_id", 0);
    file_.metadata.add_u32("tokenizer.ggml.eos_token_id", 1);
    move("token_embd.weight", "model.embed_tokens.weight");
    move("output_norm.weight", "model.norm.weight");
    move("output.weight", "lm_head.weight");
    for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
      const std::string to = str_cat("blk.", layer, "."), from = layer_prefix(layer);
      add_attention(to, from + "self_attn.");
      move(to + "attn_norm.weight", from + "input_layernorm.weight");
      move(to + "ffn_norm.weight", from + "post_attention_layernorm.weight");
      if (config.is_moe_layer(layer)) {
        add_moe(to, from + "mlp.");
      } else {
        for (const std::string x : {"gate", "up", "down"})
          move(to + "ffn_" + x + ".weight", from + "mlp." + x + "_proj.weight");
      }
    }
  }
  const GgufModelFile& file() const { return file_; }

 private:
  const TinyTensor& take(const std::string& name) { return tensor_named(published_, name); }
  void add(const std::string& name, const std::vector<int64_t>& shape, const std::string& bytes) {
    file_.tensors.push_back({{name, Dtype::kF32, shape}, bytes});
  }
  void move(const std::string& to, const std::string& from) {
    add(to, take(from).spec.shape, take(from).bytes);
  }

  void add_attention(const std::string& to, const std::string& from) {
    move(to + "attn_q_a.weight", from + "q_a_proj.weight");
    move(to + "attn_q_a_norm.weight", from + "q_a_layernorm.weight");
    move(to + "attn_q_b.weight", from + "q_b_proj.weight");
    move(to + "attn_kv_a_mqa.weight", from + "kv_a_proj_with_mqa.weight");
    move(to + "attn_kv_a_norm.weight", from + "kv_a_layernorm.weight");
    move(to + "attn_output.weight", from + "o_proj.weight");
    if (!layout_.split_kv_b) return move(to + "attn_kv_b.weight", from + "kv_b_proj.weight");
    const std::string& kv_b = take(from + "kv_b_proj.weight").bytes;
    const int64_t n_heads = config_.num_attention_heads, rank = config_.kv_lora_rank,
                  nope = config_.qk_nope_head_dim, v_dim = config_.v_head_dim;
    const auto elements = [&](int64_t row, int64_t column, int64_t n) {
      return kv_b.substr(static_cast<size_t>((row * rank + column) * 4),
                         static_cast<size_t>(n * 4));
    };
    std::string keys, values;
    for (int64_t head = 0; head < n_heads; ++head) {
      const int64_t first = head * (nope + v_dim);
      for (int64_t j = 0; j < rank; ++j) {
        for (int64_t i = 0; i < nope; ++i) keys += elements(first + i, j, 1);
      }
      values += elements(first + nope, 0, v_dim * rank);
    }
    add(to + "attn_k_b.weight", {n_heads, rank, nope}, keys);
    add(to + "attn_v_b.weight", {n_heads, v_dim, rank}, values);
  }

  void add_moe(const std::string& to, const std::string& from) {
    move(to + "ffn_gate_inp.weight", from + "gate.weight");
    move(to + "exp_probs_b.bias", from + "gate.e_score_correction_bias");
    const int64_t n = config_.n_routed_experts, width = config_.moe_intermediate_size,
                  hidden = config_.hidden_size;
    std::string gate, up, down, both;
    for (int64_t expert = 0; expert < n; ++expert) {
      const std::string one = str_cat(from, "experts.", expert, ".");
      gate += take(one + "gate_proj.weight").bytes;
      up += take(one + "up_proj.weight").bytes;
      down += take(one + "down_proj.weight").bytes;
      both += take(one + "gate_proj.weight").bytes + take(one + "up_proj.weight").bytes;
    }
    if (layout_.gate_up) {
      add(to + "ffn_gate_up_exps.weight", {n, 2 * width, hidden}, both);
    } else {
      add(to + "ffn_gate_exps.weight", {n, width, hidden}, gate);
      add(to + "ffn_up_exps.weight", {n, width, hidden}, up);
    }
    add(to + "ffn_down_exps.weight", {n, hidden, width}, down);
    for (const std::string x : {"gate", "up", "down"})
      move(to + "ffn_" + x + "_shexp.weight", from + "shared_experts." + x + "_proj.weight");
  }

  const ModelConfig& config_;
  TinyTensors published_;
  const Layout layout_;
  GgufModelFile file_;
};

}  // namespace fathom::testing_support
