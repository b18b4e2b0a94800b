// Goal: every tensor of a model has one name in the demo's files, the right one, and is split where
// the demo splits it; the demo's configs mean what the published ones do. Method: names written out
// here; all names of the published V3; the demo's own 671B config.
#include "model/demo_names.h"

#include <gtest/gtest.h>

#include <set>

#include "io/files.h"
#include "model/config.h"
#include "model/demo_shards.h"
#include "model/weights.h"

namespace fathom {
namespace {

TEST(DemoNames, AreTheDemos) {
  const struct {
    const char* name;
    const char* demo;
    DemoSplit split;
  } cases[] = {
      {"model.embed_tokens.weight", "embed.weight", DemoSplit::kRows},
      {"lm_head.weight", "head.weight", DemoSplit::kRows},
      {"model.norm.weight", "norm.weight", DemoSplit::kWhole},
      {"model.layers.3.input_layernorm.weight", "layers.3.attn_norm.weight", DemoSplit::kWhole},
      {"model.layers.3.post_attention_layernorm.weight", "layers.3.ffn_norm.weight",
       DemoSplit::kWhole},
      {"model.layers.3.self_attn.q_proj.weight", "layers.3.attn.wq.weight", DemoSplit::kRows},
      {"model.layers.3.self_attn.q_a_proj.weight_scale_inv", "layers.3.attn.wq_a.scale",
       DemoSplit::kWhole},
      {"model.layers.3.self_attn.q_a_layernorm.weight", "layers.3.attn.q_norm.weight",
       DemoSplit::kWhole},
      {"model.layers.3.self_attn.q_b_proj.weight_scale_inv", "layers.3.attn.wq_b.scale",
       DemoSplit::kRows},
      {"model.layers.3.self_attn.kv_a_proj_with_mqa.weight", "layers.3.attn.wkv_a.weight",
       DemoSplit::kWhole},
      {"model.layers.3.self_attn.kv_a_layernorm.weight", "layers.3.attn.kv_norm.weight",
       DemoSplit::kWhole},
      {"model.layers.3.self_attn.kv_b_proj.weight", "layers.3.attn.wkv_b.weight", DemoSplit::kRows},
      {"model.layers.3.self_attn.o_proj.weight", "layers.3.attn.wo.weight", DemoSplit::kColumns},
      {"model.layers.0.mlp.gate_proj.weight", "layers.0.ffn.w1.weight", DemoSplit::kRows},
      {"model.layers.0.mlp.down_proj.weight", "layers.0.ffn.w2.weight", DemoSplit::kColumns},
      {"model.layers.0.mlp.up_proj.weight", "layers.0.ffn.w3.weight", DemoSplit::kRows},
      {"model.layers.3.mlp.gate.weight", "layers.3.ffn.gate.weight", DemoSplit::kWhole},
      {"model.layers.3.mlp.gate.e_score_correction_bias", "layers.3.ffn.gate.bias",
       DemoSplit::kWhole},
      {"model.layers.3.mlp.shared_experts.down_proj.weight",
       "layers.3.ffn.shared_experts.w2.weight", DemoSplit::kColumns},
      {"model.layers.3.mlp.experts.17.down_proj.weight", "layers.3.ffn.experts.17.w2.weight",
       DemoSplit::kExpert},
  };
  for (const auto& c : cases) {
    const auto demo = demo_tensor(c.name);
    ASSERT_TRUE(demo.has_value()) << c.name;
    EXPECT_EQ(demo->name, c.demo);
    EXPECT_EQ(demo->split, c.split) << c.name;
  }
  EXPECT_EQ(demo_tensor("model.layers.3.mlp.experts.17.down_proj.weight")->expert, 17);
  for (const char* none :
       {"", "model", "model.weight", "model.layers.61.eh_proj.weight",
        "model.layers.61.enorm.weight", "model.layers.61.shared_head.norm.weight",
        "model.layers.3.mlp.experts.x.up_proj.weight"}) {
    EXPECT_FALSE(demo_tensor(none).has_value()) << none;
  }
}

Result<ModelConfig> published(const char* name) {
  const std::string path = str_cat(FATHOM_TESTDATA, "/configs/", name, ".json");
  return parse_model_config(*read_file(path), path);
}

TEST(DemoNames, EveryTensorOfTheMainModelHasItsOwn) {
  for (const char* name : {"v3", "v2-lite"}) {
    ModelConfig config = *published(name);
    config.num_nextn_predict_layers = 0;
    std::set<std::string> names;
    for (const ExpectedTensor& expected : expected_tensors(config)) {
      const auto demo = demo_tensor(expected.name);
      ASSERT_TRUE(demo.has_value()) << expected.name;
      EXPECT_TRUE(names.insert(demo->name).second) << demo->name;
    }
  }
}

TEST(DemoNames, ADemoConfigMeansThePublishedOne) {
  const auto demo =
      parse_json(R"({"vocab_size": 129280, "dim": 7168, "inter_dim": 18432, "moe_inter_dim": 2048,
    "n_layers": 61, "n_dense_layers": 3, "n_heads": 128, "n_routed_experts": 256, "n_shared_experts": 1,
    "n_activated_experts": 8, "n_expert_groups": 8, "n_limited_groups": 4, "route_scale": 2.5, "score_func": "sigmoid",
    "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
    "dtype": "fp8", "scale_fmt": "ue8m0"})");
  ASSERT_TRUE(demo.ok());
  EXPECT_TRUE(is_demo_config(*demo));
  const auto made = published_config(*demo, true, "demo.json");
  ASSERT_TRUE(made.ok()) << made.error().message;
  EXPECT_FALSE(is_demo_config(*made));
  const auto config = parse_model_config(made->dump(), "demo.json");
  ASSERT_TRUE(config.ok()) << config.error().message;
  const ModelConfig expected = *published("v3.1");
  EXPECT_EQ(config->model_type, expected.model_type);
  EXPECT_EQ(config->hidden_size, expected.hidden_size);
  EXPECT_EQ(config->n_group, expected.n_group);
  EXPECT_EQ(config->topk_group, expected.topk_group);
  EXPECT_EQ(config->topk_method, expected.topk_method);
  EXPECT_EQ(config->scoring_func, expected.scoring_func);
  EXPECT_EQ(config->norm_topk_prob, expected.norm_topk_prob);
  EXPECT_EQ(config->routed_scaling_factor, expected.routed_scaling_factor);
  EXPECT_EQ(config->rope_scaling, expected.rope_scaling);
  EXPECT_EQ(config->rope_theta, expected.rope_theta);
  EXPECT_EQ(config->max_position_embeddings, expected.max_position_embeddings);
  EXPECT_EQ(config->rms_norm_eps, expected.rms_norm_eps);
  EXPECT_TRUE(config->quantization_config->ue8m0);
}

TEST(DemoNames, FilesOfRanks) {
  EXPECT_EQ(demo_file_name(3, 16), "model3-mp16.safetensors");
  EXPECT_EQ(parse_demo_file_name("model3-mp16.safetensors"), (std::pair<int64_t, int64_t>{3, 16}));
  for (const char* other : {"model.safetensors", "model03-mp16.safetensors",
                            "model-mp1.safetensors", "model1-mp0.safetensors",
                            "model1-mp2.safetensors.part", "model-00001-of-000002.safetensors"}) {
    EXPECT_FALSE(parse_demo_file_name(other).has_value()) << other;
  }
}

}  // namespace
}  // namespace fathom
