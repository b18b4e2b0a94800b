// What the tests of convert and cast share: a model to convert, folders of weights as maps, runs
// that must succeed or fail with one sentence.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "io/checkpoint.h"
#include "io/safetensors.h"
#include "model/config.h"
#include "tests/support/subprocess.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_model.h"

namespace fathom::test {

inline const std::string kReferenceModels = FATHOM_SHARED "/reference/models/";

// Everything divides by 2 in whole blocks, embedding and head apart.
inline constexpr std::string_view kFp8Config =
    R"({"model_type":"deepseek_v3","vocab_size":64,"hidden_size":136,
  "intermediate_size":256,"moe_intermediate_size":40,"num_hidden_layers":2,"num_nextn_predict_layers":1,
  "first_k_dense_replace":1,"num_attention_heads":4,"q_lora_rank":12,"kv_lora_rank":16,"qk_nope_head_dim":64,
  "qk_rope_head_dim":64,"v_head_dim":64,"n_routed_experts":4,"n_shared_experts":1,"num_experts_per_tok":2,"n_group":2,
  "topk_group":1,"norm_topk_prob":true,"routed_scaling_factor":2.5,"rms_norm_eps":1e-6,"rope_theta":10000,
  "max_position_embeddings":64,"torch_dtype":"bfloat16","quantization_config":{"quant_method":"fp8",
  "weight_block_size":[128,128]},"custom":[1, 2.5, "three"]})";

inline ModelConfig parse(std::string_view json) { return *parse_model_config(json, "config.json"); }

inline testing_support::TinyTensors write_model(const testing_support::TempFolder& folder,
                                                std::string_view json, Dtype dtype,
                                                uint64_t seed = 1) {
  testing_support::TinyTensors tensors = testing_support::tiny_tensors(parse(json), dtype, seed);
  testing_support::write_tiny_model(folder, json, tensors);
  testing_support::put_file(folder / "tokenizer.json", "{\"a\": 1}");
  testing_support::put_file(folder / "pytorch_model.bin", "not to be copied");
  return tensors;
}

struct Loaded {
  Dtype dtype;
  std::vector<int64_t> shape;
  std::string bytes;
  bool operator==(const Loaded&) const = default;
};
using LoadedTensors = std::map<std::string, Loaded>;

inline void add_loaded(const Tensor& t, const std::string& name, LoadedTensors& out) {
  out[name] = {t.dtype, t.shape, std::string(t.as<char>(), static_cast<size_t>(t.bytes()))};
}

inline LoadedTensors load(const std::string& folder) {
  LoadedTensors out;
  const auto files = ModelFiles::open_folder(folder);
  EXPECT_TRUE(files.ok());
  const auto checkpoint = Checkpoint::open(*files);
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.error().message;
  if (!checkpoint.ok()) return out;
  for (const CheckpointTensor& entry : checkpoint->tensors())
    add_loaded(entry.tensor, entry.name, out);
  return out;
}

inline LoadedTensors load_file(const std::string& path) {
  LoadedTensors out;
  const std::string bytes = testing_support::get_file(path);
  const auto parsed = parse_safetensors(std::as_bytes(std::span(bytes)), path);
  EXPECT_TRUE(parsed.ok()) << parsed.error().message;
  if (!parsed.ok()) return out;
  for (const NamedTensor& named : parsed->tensors) add_loaded(named.tensor, named.name, out);
  return out;
}

// Standard error.
inline std::string succeed(const std::vector<std::string>& arguments) {
  const RunResult result = run_fathom(arguments);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "");
  return result.err;
}
inline std::string fail(const std::vector<std::string>& arguments, int exit_code = 1) {
  const RunResult result = run_fathom(arguments);
  EXPECT_EQ(result.exit_code, exit_code) << result.err;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  return result.err;
}

inline std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

inline void expect_whole_files_only(const std::string& folder) {
  for (const std::string& name : names_in(folder)) {
    if (name.ends_with(".safetensors")) {
      EXPECT_FALSE(load_file(folder + "/" + name).empty()) << name;
    }
  }
}

}  // namespace fathom::test
