// Checkpoints of any config with random weights, written tensor by tensor so that a test can break
// any part.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/math.h"
#include "io/safetensors.h"
#include "model/weights.h"
#include "tensor/numeric.h"
#include "tests/support/temp_folder.h"

namespace fathom::testing_support {

// A config with every mechanism of V3, small: two layers, MoE in the second, one MTP module.
inline constexpr std::string_view kTinyConfig =
    R"({"model_type":"deepseek_v3","vocab_size":32,"hidden_size":24,
  "intermediate_size":40,"moe_intermediate_size":16,"num_hidden_layers":2,"num_nextn_predict_layers":1,
  "first_k_dense_replace":1,"num_attention_heads":2,"q_lora_rank":12,"kv_lora_rank":16,"qk_nope_head_dim":8,
  "qk_rope_head_dim":4,"v_head_dim":8,"n_routed_experts":4,"n_shared_experts":1,"num_experts_per_tok":2,"n_group":2,
  "topk_group":1,"norm_topk_prob":true,"routed_scaling_factor":2.5,"rms_norm_eps":1e-6,"rope_theta":10000,
  "max_position_embeddings":64,"bos_token_id":0,"eos_token_id":1})";

// The same with FP8 weights: some dimensions beyond a block of 128, none a multiple.
inline constexpr std::string_view kTinyFp8Config =
    R"({"model_type":"deepseek_v3","vocab_size":32,"hidden_size":136,
  "intermediate_size":40,"moe_intermediate_size":16,"num_hidden_layers":2,"num_nextn_predict_layers":0,
  "first_k_dense_replace":1,"num_attention_heads":2,"q_lora_rank":12,"kv_lora_rank":16,"qk_nope_head_dim":8,
  "qk_rope_head_dim":4,"v_head_dim":8,"n_routed_experts":4,"n_shared_experts":1,"num_experts_per_tok":2,"n_group":2,
  "topk_group":1,"norm_topk_prob":true,"routed_scaling_factor":2.5,"rms_norm_eps":1e-6,"rope_theta":10000,
  "max_position_embeddings":64,"bos_token_id":0,"eos_token_id":1,"quantization_config":{"quant_method":"fp8",
  "weight_block_size":[128,128]}})";

struct TinyTensor {
  TensorSpec spec;
  std::string bytes;
};
using TinyTensors = std::vector<TinyTensor>;

class TinyRandom {
 public:
  explicit TinyRandom(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    state_ += 0x9e3779b97f4a7c15u;
    uint64_t z = (state_ ^ (state_ >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  // In [-1, 1).
  float uniform() { return static_cast<float>(next() >> 40) * 0x1p-23f - 1.0f; }

 private:
  uint64_t state_;
};

inline std::string tiny_bytes(Dtype dtype, int64_t elements, float center, float width,
                              TinyRandom& random) {
  std::string bytes;
  const auto put = [&](const auto& value) {
    bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
  };
  for (int64_t i = 0; i < elements; ++i) {
    const float value = center + width * random.uniform();
    switch (dtype) {
      case Dtype::kF32:
        put(value);
        break;
      case Dtype::kF16:
        put(f32_to_f16(value));
        break;
      case Dtype::kBF16:
        put(f32_to_bf16(value));
        break;
      case Dtype::kF8E4M3:
        put(f32_to_e4m3(value * 448.0f));
        break;
      default:
        FATHOM_CHECK(false, dtype_name(dtype));
        break;
    }
  }
  return bytes;
}

// Every tensor of the config; matrices of the given dtype, or F8_E4M3 with scales where the config
// says so.
inline TinyTensors tiny_tensors(const ModelConfig& config, Dtype dtype, uint64_t seed) {
  TinyRandom random(seed);
  TinyTensors tensors;
  for (const ExpectedTensor& expected : expected_tensors(config)) {
    if (expected.optional) continue;
    int64_t elements = 1;
    for (int64_t extent : expected.shape) elements *= extent;
    const bool norm = expected.name.ends_with("norm.weight");
    const bool fp8 = expected.quantised && config.quantization_config.has_value();
    const bool bias = expected.name.ends_with("e_score_correction_bias");
    const Dtype stored = fp8 ? Dtype::kF8E4M3 : bias ? Dtype::kF32 : dtype;
    tensors.push_back(
        {{expected.name, stored, expected.shape},
         tiny_bytes(stored, elements, norm ? 1.0f : 0.0f, norm ? 0.2f : 0.4f, random)});
    if (!fp8) continue;
    const std::vector<int64_t> grid = {ceil_div(expected.shape[0], 128),
                                       ceil_div(expected.shape[1], 128)};
    tensors.push_back({{expected.name + "_scale_inv", Dtype::kF32, grid},
                       tiny_bytes(Dtype::kF32, grid[0] * grid[1], 1e-3f, 5e-4f, random)});
  }
  return tensors;
}

inline TinyTensor& tensor_named(TinyTensors& tensors, std::string_view name) {
  for (TinyTensor& tensor : tensors) {
    if (tensor.spec.name == name) return tensor;
  }
  FATHOM_CHECK(false, "no tensor ", name);
  return tensors.front();
}

// One file, replaced if it exists.
inline void write_tensors(const std::string& path, const TinyTensors& tensors) {
  std::vector<TensorSpec> specs;
  for (const TinyTensor& tensor : tensors) specs.push_back(tensor.spec);
  auto writer = SafetensorsWriter::create(path, specs, true);
  FATHOM_CHECK(writer.ok(), writer.ok() ? "" : writer.error().message);
  for (size_t i = 0; i < tensors.size(); ++i) {
    FATHOM_CHECK(writer->write(i, std::as_bytes(std::span(tensors[i].bytes))).ok(), path);
  }
  FATHOM_CHECK(writer->finish().ok(), path);
}

// config.json and model.safetensors.
inline void write_tiny_model(const TempFolder& folder, std::string_view config_json,
                             const TinyTensors& tensors) {
  put_file(folder / "config.json", config_json);
  write_tensors(folder / "model.safetensors", tensors);
}

}  // namespace fathom::testing_support
