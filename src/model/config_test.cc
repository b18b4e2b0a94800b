// Goal: the family's configs mean what they say, in either spelling; everything else is refused by
// name. Method: a good config with one field changed at a time.
#include "model/config.h"

#include <gtest/gtest.h>

#include "io/json.h"

namespace fathom {
namespace {

// As published for V3, sizes included (spec §1.1).
constexpr const char* kV3 = R"({
  "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "vocab_size": 129280, "hidden_size": 7168,
  "intermediate_size": 18432, "moe_intermediate_size": 2048, "num_hidden_layers": 61, "num_nextn_predict_layers": 1,
  "first_k_dense_replace": 3, "moe_layer_freq": 1, "num_attention_heads": 128, "num_key_value_heads": 128,
  "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
  "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8, "n_group": 8, "topk_group": 4,
  "scoring_func": "sigmoid", "topk_method": "noaux_tc", "norm_topk_prob": true, "routed_scaling_factor": 2.5,
  "aux_loss_alpha": 0.001, "seq_aux": true, "hidden_act": "silu", "rms_norm_eps": 1e-06, "rope_theta": 10000,
  "rope_scaling": {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096, "beta_fast": 32,
                   "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 1.0},
  "max_position_embeddings": 163840, "attention_bias": false, "attention_dropout": 0.0, "tie_word_embeddings": false,
  "initializer_range": 0.02, "bos_token_id": 0, "eos_token_id": 1, "ep_size": 1, "pretraining_tp": 1,
  "torch_dtype": "bfloat16", "use_cache": true, "transformers_version": "4.33.1",
  "quantization_config": {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128],
                          "activation_scheme": "dynamic"}})";

// "rope_scaling.factor" and the like reach into an object.
void set_path(Json& json, std::string_view path, Json value) {
  const size_t dot = path.find('.');
  if (dot == std::string_view::npos) {
    json.set(path, std::move(value));
    return;
  }
  for (auto& [key, member] : json.as_object()) {
    if (key == path.substr(0, dot)) set_path(member, path.substr(dot + 1), std::move(value));
  }
}
void remove_path(Json& json, std::string_view path) {
  const size_t dot = path.find('.');
  std::erase_if(json.as_object(), [&](Json::Member& member) {
    if (member.first != path.substr(0, dot)) return false;
    if (dot == std::string_view::npos) return true;
    remove_path(member.second, path.substr(dot + 1));
    return false;
  });
}

Json v3() { return *parse_json(kV3); }
Result<ModelConfig> parse(const Json& json) {
  return parse_model_config(json.dump(), "config.json");
}
std::string error_with(std::string_view path, Json value) {
  Json json = v3();
  set_path(json, path, std::move(value));
  const auto config = parse(json);
  return config.ok() ? std::string("accepted") : config.error().message;
}

TEST(ModelConfig, ReadsThePublishedV3) {
  const auto config = parse_model_config(kV3, "config.json");
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->hidden_size, 7168);
  EXPECT_EQ(config->qk_head_dim(), 192);
  EXPECT_EQ(config->kv_row_size(), 576);
  EXPECT_EQ(config->n_layers_stored(), 62);
  EXPECT_FALSE(config->is_moe_layer(2));
  EXPECT_TRUE(config->is_moe_layer(3));
  EXPECT_EQ(config->topk_method, TopkMethod::kNoauxTc);
  EXPECT_EQ(config->scoring_func, ScoringFunc::kSigmoid);
  EXPECT_EQ(config->rope_scaling->factor, 40);
  EXPECT_TRUE(config->rope_interleave);
  EXPECT_TRUE(config->quantization_config.has_value());
  EXPECT_FALSE(config->quantization_config->ue8m0);
  EXPECT_EQ(config->eos_token_id, std::vector<int32_t>{1});
  EXPECT_EQ(config->family(), "DeepSeek-V3");
}

TEST(ModelConfig, Transformers5SpellingsMeanTheSame) {
  Json json = v3();
  Json rope = *json.find("rope_scaling");
  remove_path(rope, "type");
  rope.set("rope_type", "yarn");
  rope.set("rope_theta", 10000.0);
  for (const char* gone : {"rope_scaling", "rope_theta", "torch_dtype", "topk_method",
                           "scoring_func", "moe_layer_freq"}) {
    remove_path(json, gone);
  }
  json.set("rope_parameters", rope);
  json.set("dtype", "bfloat16");
  json.set("qk_head_dim", 192);
  json.set("head_dim", 64);
  const auto config = parse(json);
  ASSERT_TRUE(config.ok()) << config.error().message;
  const auto old = parse_model_config(kV3, "config.json");
  EXPECT_EQ(config->rope_scaling, old->rope_scaling);
  EXPECT_EQ(config->rope_theta, 10000);
  EXPECT_EQ(config->torch_dtype, "bfloat16");
  EXPECT_EQ(config->topk_method, TopkMethod::kNoauxTc);

  Json plain = v3();
  remove_path(plain, "rope_scaling");
  remove_path(plain, "rope_theta");
  plain.set("rope_parameters", *parse_json(R"({"rope_type":"default","rope_theta":50000.0})"));
  const auto without = parse(plain);
  ASSERT_TRUE(without.ok()) << without.error().message;
  EXPECT_FALSE(without->rope_scaling.has_value());
  EXPECT_EQ(without->rope_theta, 50000);
}

TEST(ModelConfig, ReadsTheRestOfTheFamily) {
  Json lite = v3();
  for (const char* gone : {"num_nextn_predict_layers", "quantization_config"})
    remove_path(lite, gone);
  lite.set("model_type", "deepseek_v2");
  lite.set("architectures", *parse_json(R"(["DeepseekV2ForCausalLM"])"));
  lite.set("q_lora_rank", nullptr);
  lite.set("topk_method", "greedy");
  lite.set("scoring_func", "softmax");
  lite.set("norm_topk_prob", false);
  lite.set("n_group", nullptr);
  lite.set("topk_group", nullptr);
  const auto v2 = parse(lite);
  ASSERT_TRUE(v2.ok()) << v2.error().message;
  EXPECT_FALSE(v2->has_q_lora());
  EXPECT_FALSE(v2->has_router_bias());
  EXPECT_EQ(v2->n_group, 1);
  EXPECT_EQ(v2->num_nextn_predict_layers, 0);

  Json kimi = v3();
  kimi.set("model_type", "kimi_k2");
  kimi.set("vocab_size", 163840);
  kimi.set("n_routed_experts", 384);
  kimi.set("n_group", 1);
  kimi.set("topk_group", 1);
  kimi.set("eos_token_id", *parse_json("[163585, 163586]"));
  set_path(kimi, "rope_scaling.beta_fast", 1.0);
  const auto k2 = parse(kimi);
  ASSERT_TRUE(k2.ok()) << k2.error().message;
  EXPECT_EQ(k2->family(), "Kimi-K2");
  EXPECT_EQ(k2->eos_token_id.size(), 2u);

  Json ue8m0 = v3();
  ue8m0.as_object().back().second.set("scale_fmt", "ue8m0");
  EXPECT_TRUE(parse(ue8m0)->quantization_config->ue8m0);
}

TEST(ModelConfig, EveryRequiredFieldIsMissedByName) {
  for (const char* field : {"model_type",
                            "vocab_size",
                            "hidden_size",
                            "intermediate_size",
                            "moe_intermediate_size",
                            "num_hidden_layers",
                            "num_attention_heads",
                            "q_lora_rank",
                            "kv_lora_rank",
                            "qk_nope_head_dim",
                            "qk_rope_head_dim",
                            "v_head_dim",
                            "n_routed_experts",
                            "num_experts_per_tok",
                            "first_k_dense_replace",
                            "norm_topk_prob",
                            "routed_scaling_factor",
                            "rms_norm_eps",
                            "rope_theta",
                            "max_position_embeddings",
                            "n_group",
                            "topk_group",
                            "rope_scaling.type",
                            "rope_scaling.factor",
                            "rope_scaling.original_max_position_embeddings",
                            "quantization_config.quant_method",
                            "quantization_config.weight_block_size"}) {
    Json json = v3();
    remove_path(json, field);
    const auto config = parse(json);
    ASSERT_FALSE(config.ok()) << field;
    EXPECT_NE(config.error().message.find(str_cat("config.json: ", field)), std::string::npos)
        << config.error().message;
    EXPECT_NE(config.error().message.find("missing"), std::string::npos) << config.error().message;
  }
}

TEST(ModelConfig, WhatIsNotSupportedIsRefusedByName) {
  const std::pair<const char*, Json> cases[] = {
      {"model_type", "deepseek_v32"},
      {"model_type", "llama"},
      {"architectures", *parse_json(R"(["DeepseekV32ForCausalLM"])")},
      {"topk_method", "noaux"},
      {"scoring_func", "tanh"},
      {"hidden_act", "gelu"},
      {"rope_scaling.type", "linear"},
      {"rope_scaling.type", "dynamic"},
      {"rope_scaling.attention_factor", 1.2},
      {"rope_scaling.truncate", false},
      {"quantization_config.quant_method", "awq"},
      {"quantization_config.fmt", "e5m2"},
      {"quantization_config.activation_scheme", "static"},
      {"quantization_config.scale_fmt", "ue4m3"},
      {"quantization_config.weight_block_size", *parse_json("[1, 128]")},
      {"quantization_config.modules_to_not_convert",
       *parse_json(R"(["model.layers.0.mlp.up_proj"])")},
      {"moe_layer_freq", 2},
      {"attention_bias", true},
      {"index_topk", 2048},
      {"index_n_heads", 64},
      {"sliding_window", 4096},
      {"final_logit_softcapping", 30.0},
      {"layer_types", *parse_json(R"(["sliding_attention"])")},
      {"mlp_layer_types", *parse_json(R"(["sparse"])")},
  };
  for (const auto& [path, value] : cases) {
    const std::string error = error_with(path, value);
    const std::string last = std::string(path).substr(std::string(path).rfind('.') + 1);
    EXPECT_NE(error.find(last), std::string::npos) << path << " gave: " << error;
    EXPECT_EQ(error.find("config.json: "), 0u) << error;
  }
  EXPECT_EQ(error_with("sliding_window", nullptr), "accepted");
  EXPECT_EQ(error_with("quantization_config.modules_to_not_convert", *parse_json(R"(["lm_head"])")),
            "accepted");
}

TEST(ModelConfig, SizesAndNumbersHaveLimits) {
  const std::pair<const char*, Json> cases[] = {
      {"n_group", 7},
      {"n_routed_experts", 65536},
      {"num_experts_per_tok", 257},
      {"num_experts_per_tok", 129},
      {"topk_group", 9},
      {"n_group", 256},
      {"num_hidden_layers", 0},
      {"num_hidden_layers", 1000000000},
      {"num_hidden_layers", 2},
      {"hidden_size", -1},
      {"hidden_size", 7168.0},
      {"hidden_size", "7168"},
      {"vocab_size", int64_t{1} << 40},
      {"vocab_size", 0},
      {"qk_rope_head_dim", 63},
      {"qk_rope_head_dim", 0},
      {"num_key_value_heads", 8},
      {"rope_theta", 0.0},
      {"rope_theta", "10000"},
      {"rope_scaling.factor", nullptr},
      {"rope_scaling.factor", 0.5},
      {"rope_scaling.factor", 1e300},
      {"rope_scaling.beta_fast", 0.5},
      {"rope_scaling", 40},
      {"rms_norm_eps", 0.0},
      {"routed_scaling_factor", -2.5},
      {"norm_topk_prob", 1},
      {"eos_token_id", 129280},
      {"bos_token_id", -1},
      {"quantization_config", "fp8"},
      {"num_nextn_predict_layers", 1000},
      {"qk_head_dim", 128},
  };
  for (const auto& [path, value] : cases) {
    const std::string error = error_with(path, value);
    EXPECT_EQ(error.find("config.json: "), 0u) << path << " " << value.dump() << " gave: " << error;
  }
  std::string text = kV3;
  text.replace(text.find("\"factor\": 40"), 12, "\"factor\": NaN");
  EXPECT_FALSE(parse_model_config(text, "config.json").ok());
  EXPECT_FALSE(parse_model_config("", "config.json").ok());
  EXPECT_FALSE(parse_model_config("[]", "config.json").ok());
}

}  // namespace
}  // namespace fathom
