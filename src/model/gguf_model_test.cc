// Goal: a GGUF file is the model that its folder is: the same config, the same tensors under
// published names; what cannot be so is refused with the key or the tensor. Method: files of a tiny
// model put together tensor by tensor, by formulas written here.
#include "tests/support/gguf_model.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "io/gguf_parts.h"
#include "model/gguf_config.h"
#include "model/open_model.h"

namespace fathom {
namespace {

using namespace testing_support;  // NOLINT: a test

ModelConfig config_of(std::string_view text) {
  auto config = parse_model_config(text, "config.json");
  EXPECT_TRUE(config.ok()) << config.error().message;
  return *config;
}

ModelConfig tiny_config() {
  ModelConfig config = config_of(kTinyConfig);
  config.num_nextn_predict_layers = 0;
  return config;
}

using Layout = TinyGguf::Layout;
GgufModelFile tiny_gguf(const ModelConfig& config, const TinyTensors& published, Layout layout) {
  return TinyGguf(config, published, layout).file();
}

void expect_same_config(const ModelConfig& a, const ModelConfig& b) {
  EXPECT_EQ(a.model_type, b.model_type);
  EXPECT_EQ(a.vocab_size, b.vocab_size);
  EXPECT_EQ(a.hidden_size, b.hidden_size);
  EXPECT_EQ(a.intermediate_size, b.intermediate_size);
  EXPECT_EQ(a.moe_intermediate_size, b.moe_intermediate_size);
  EXPECT_EQ(a.num_hidden_layers, b.num_hidden_layers);
  EXPECT_EQ(a.num_attention_heads, b.num_attention_heads);
  EXPECT_EQ(a.q_lora_rank, b.q_lora_rank);
  EXPECT_EQ(a.kv_lora_rank, b.kv_lora_rank);
  EXPECT_EQ(a.qk_nope_head_dim, b.qk_nope_head_dim);
  EXPECT_EQ(a.qk_rope_head_dim, b.qk_rope_head_dim);
  EXPECT_EQ(a.v_head_dim, b.v_head_dim);
  EXPECT_EQ(a.n_routed_experts, b.n_routed_experts);
  EXPECT_EQ(a.n_shared_experts, b.n_shared_experts);
  EXPECT_EQ(a.num_experts_per_tok, b.num_experts_per_tok);
  EXPECT_EQ(a.n_group, b.n_group);
  EXPECT_EQ(a.topk_group, b.topk_group);
  EXPECT_EQ(a.first_k_dense_replace, b.first_k_dense_replace);
  EXPECT_EQ(a.topk_method, b.topk_method);
  EXPECT_EQ(a.scoring_func, b.scoring_func);
  EXPECT_EQ(a.norm_topk_prob, b.norm_topk_prob);
  EXPECT_EQ(a.routed_scaling_factor, b.routed_scaling_factor);
  EXPECT_EQ(a.rms_norm_eps, b.rms_norm_eps);
  EXPECT_EQ(a.rope_theta, b.rope_theta);
  EXPECT_EQ(a.rope_scaling, b.rope_scaling);
  EXPECT_EQ(a.max_position_embeddings, b.max_position_embeddings);
}

// Metadata as parsed from a file without tensors.
Result<GgufConfig> config_from(const TempFolder& folder, const GgufMetadataBuilder& metadata) {
  write_gguf(folder / "c.gguf", {metadata, {}});
  FATHOM_TRY(const GgufParts parts, open_gguf(folder / "c.gguf"));
  return gguf_config(parts, "c.gguf");
}

TEST(GgufConfig, PublishedConfigsGoThereAndBack) {
  const TempFolder folder;
  for (const char* name :
       {"v3.json", "v3.1.json", "v2.json", "v2-lite.json", "moonlight.json", "kimi-k2.json"}) {
    SCOPED_TRACE(name);
    ModelConfig config = config_of(get_file(str_cat(FATHOM_TESTDATA, "/configs/", name)));
    GgufMetadataBuilder metadata;
    metadata.add_string("general.architecture", "deepseek2");
    metadata.add_string("tokenizer.ggml.pre", name[0] == 'k' ? "kimi-k2" : "deepseek-v3");
    const Status added = add_gguf_config(config, metadata);
    ASSERT_TRUE(added.ok()) << added.error().message;
    const auto read = config_from(folder, metadata);
    ASSERT_TRUE(read.ok()) << read.error().message;
    expect_same_config(read->config, config);
    EXPECT_TRUE(read->notes.empty());
  }
}

// Files that were made before there were keys for groups and before attention over the latent.
TEST(GgufConfig, OlderFiles) {
  const TempFolder folder;
  GgufMetadataBuilder m;
  m.add_string("general.architecture", "deepseek2");
  const std::pair<const char*, uint32_t> sizes[] = {{"block_count", 61},
                                                    {"context_length", 163840},
                                                    {"embedding_length", 7168},
                                                    {"feed_forward_length", 18432},
                                                    {"attention.head_count", 128},
                                                    {"attention.head_count_kv", 128},
                                                    {"leading_dense_block_count", 3},
                                                    {"vocab_size", 129280},
                                                    {"attention.q_lora_rank", 1536},
                                                    {"attention.kv_lora_rank", 512},
                                                    {"attention.key_length", 192},
                                                    {"attention.value_length", 128},
                                                    {"expert_feed_forward_length", 2048},
                                                    {"expert_count", 256},
                                                    {"expert_used_count", 8},
                                                    {"expert_shared_count", 1},
                                                    {"expert_gating_func", 2},
                                                    {"rope.dimension_count", 64},
                                                    {"rope.scaling.original_context_length", 4096}};
  for (const auto& [key, value] : sizes) m.add_u32(str_cat("deepseek2.", key), value);
  m.add_f32("deepseek2.rope.freq_base", 10000);
  m.add_f32("deepseek2.attention.layer_norm_rms_epsilon", 1e-6f);
  m.add_f32("deepseek2.expert_weights_scale", 2.5f);
  m.add_bool("deepseek2.expert_weights_norm", true);
  m.add_string("deepseek2.rope.scaling.type", "yarn");
  m.add_f32("deepseek2.rope.scaling.factor", 40);
  m.add_f32("deepseek2.rope.scaling.yarn_log_multiplier", 0.1f);
  const auto read = config_from(folder, m);
  ASSERT_TRUE(read.ok()) << read.error().message;
  expect_same_config(read->config, config_of(get_file(FATHOM_TESTDATA "/configs/v3.json")));
  ASSERT_EQ(read->notes.size(), 1u);
  EXPECT_NE(read->notes[0].find("n_group is taken as 8 and topk_group as 4"), std::string::npos)
      << read->notes[0];
}

TEST(GgufConfig, WhatIsRefused) {
  const TempFolder folder;
  const auto error_of = [&](std::string_view architecture,
                            const std::function<void(GgufMetadataBuilder&)>& more) {
    GgufMetadataBuilder metadata;
    metadata.add_string("general.architecture", architecture);
    more(metadata);
    const auto read = config_from(folder, metadata);
    return read.ok() ? std::string() : read.error().message;
  };
  const auto with_config = [](GgufMetadataBuilder& m) {
    EXPECT_TRUE(add_gguf_config(tiny_config(), m).ok());
  };
  EXPECT_EQ(error_of("deepseek2", with_config), "");
  EXPECT_NE(
      error_of("llama", with_config).find("general.architecture is llama, supported is deepseek2"),
      std::string::npos);
  EXPECT_NE(error_of("deepseek2", [](GgufMetadataBuilder&) {}).find("block_count is missing"),
            std::string::npos);
  const auto with = [&](auto add) {
    return error_of("deepseek2", [&](GgufMetadataBuilder& m) {
      add(m);
      with_config(m);
    });
  };
  EXPECT_NE(with([](GgufMetadataBuilder& m) {
              m.add_u32("deepseek2.attention.indexer.top_k", 2048);
            }).find("indexer.top_k is 2048, which is not supported"),
            std::string::npos);
  EXPECT_NE(with([](GgufMetadataBuilder& m) {
              m.add_f32("deepseek2.rope.scaling.attn_factor", 0.5f);
            }).find("attn_factor is 0.5, only 1"),
            std::string::npos);
  EXPECT_NE(error_of("deepseek2",
                     [](GgufMetadataBuilder& m) { m.add_string("deepseek2.block_count", "two"); })
                .find("deepseek2.block_count is no count"),
            std::string::npos);

  ModelConfig config = tiny_config();
  config.rope_scaling = RopeScaling{
      .factor = 4, .original_max_position_embeddings = 16, .mscale = 1, .mscale_all_dim = 0};
  GgufMetadataBuilder metadata;
  EXPECT_NE(add_gguf_config(config, metadata).error().message.find("mscale is 1"),
            std::string::npos);
}

TEST(GgufModel, IsTheModelOfTheFolder) {
  const ModelConfig config = tiny_config();
  const TinyTensors published = tiny_tensors(config, Dtype::kF32, 5);
  for (const Layout layout : {Layout{false, false}, Layout{true, false}, Layout{true, true}}) {
    const TempFolder folder;
    write_gguf(folder / "m.gguf", tiny_gguf(config, published, layout));
    const auto opened = open_model(folder / "m.gguf");
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    expect_same_config(opened->config, config);
    EXPECT_EQ(opened->config.eos_token_id, std::vector<int32_t>{1});
    const Checkpoint& checkpoint = *opened->checkpoint;
    EXPECT_EQ(checkpoint.tensors().size(), published.size());
    for (const TinyTensor& tensor : published) {
      const Tensor* found = checkpoint.find(tensor.spec.name);
      ASSERT_NE(found, nullptr) << tensor.spec.name;
      EXPECT_EQ(found->shape, tensor.spec.shape) << tensor.spec.name;
      ASSERT_EQ(found->bytes(), static_cast<int64_t>(tensor.bytes.size())) << tensor.spec.name;
      EXPECT_EQ(std::memcmp(found->data, tensor.bytes.data(), tensor.bytes.size()), 0)
          << tensor.spec.name;
    }
    EXPECT_EQ(opened->notes.size(), layout.split_kv_b ? 1u : 0u);
    const auto weights = load_weights(opened->config, opened->checkpoint);
    EXPECT_TRUE(weights.ok()) << weights.error().message;
  }
}

std::string error_of_broken(const std::function<void(GgufModelFile&)>& spoil) {
  const TempFolder folder;
  const ModelConfig config = tiny_config();
  GgufModelFile file = tiny_gguf(config, tiny_tensors(config, Dtype::kF32, 5), {true, false});
  spoil(file);
  write_gguf(folder / "m.gguf", file);
  auto opened = open_model(folder / "m.gguf");
  if (!opened.ok()) return opened.error().message;
  const auto weights = load_weights(opened->config, opened->checkpoint);
  return weights.ok() ? std::string() : weights.error().message;
}

TEST(GgufModel, BrokenTensors) {
  EXPECT_EQ(error_of_broken([](GgufModelFile&) {}), "");
  const auto renamed = [](const char* from, const char* to) {
    return error_of_broken([=](GgufModelFile& f) { tensor_named(f.tensors, from).spec.name = to; });
  };
  EXPECT_NE(renamed("blk.0.attn_norm.weight", "blk.0.attn_other.weight")
                .find("tensor blk.0.attn_other.weight"),
            std::string::npos);
  EXPECT_NE(renamed("blk.0.attn_norm.weight", "blk.01.attn_norm.weight").find("blk.01."),
            std::string::npos);
  EXPECT_NE(renamed("blk.0.attn_norm.weight", "blk.9.attn_norm.weight")
                .find("model.layers.0.input_layernorm.weight"),
            std::string::npos);
  EXPECT_NE(renamed("blk.1.attn_k_b.weight", "rope_freqs.weight").find("attn_k_b is missing"),
            std::string::npos);
  const auto reshaped = [](const char* name, std::vector<int64_t> shape) {
    return error_of_broken([=](GgufModelFile& f) {
      TinyTensor& tensor = tensor_named(f.tensors, name);
      tensor.spec.shape = shape;
    });
  };
  EXPECT_NE(reshaped("blk.1.ffn_up_exps.weight", {2, 32, 24}).find("expected [4, rows, columns]"),
            std::string::npos);
  EXPECT_NE(reshaped("blk.1.attn_k_b.weight", {2, 8, 16}).find("expected [2, 16, 8]"),
            std::string::npos);
  EXPECT_NE(reshaped("token_embd.weight", {24, 32}).find("expected [32, 24]"), std::string::npos);
}

// One call multiplies them, with one input.
TEST(GgufModel, TypesThatTakeDifferentInputs) {
  const auto as_bf16 = [](const char* name) {
    return error_of_broken([=](GgufModelFile& f) {
      TinyTensor& tensor = tensor_named(f.tensors, name);
      tensor.spec.dtype = Dtype::kBF16;
      tensor.bytes.resize(tensor.bytes.size() / 2);
    });
  };
  EXPECT_NE(as_bf16("blk.0.ffn_up.weight").find("up_proj.weight"), std::string::npos);
  EXPECT_NE(as_bf16("blk.1.ffn_gate_shexp.weight").find("take different inputs"),
            std::string::npos);
  EXPECT_NE(as_bf16("blk.1.ffn_up_exps.weight").find("experts.0.up_proj.weight"),
            std::string::npos);
  EXPECT_EQ(as_bf16("blk.1.ffn_down_exps.weight"), "");
}

TEST(GgufModel, APathThatIsNoGgufFile) {
  const TempFolder folder;
  put_file(folder / "m.gguf", "no model");
  EXPECT_NE(open_model(folder / "m.gguf").error().message.find("does not begin with \"GGUF\""),
            std::string::npos);
  EXPECT_FALSE(open_model(folder / "absent.gguf").ok());
}

}  // namespace
}  // namespace fathom
