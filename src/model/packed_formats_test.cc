// Goal: the written rule of docs/quantization.md, and its way to and from config.json.
#include "model/packed_formats.h"

#include <gtest/gtest.h>

#include "model/config.h"
#include "tests/support/tiny_model.h"

namespace fathom {
namespace {

TEST(PackedFormats, KindsFollowFromNames) {
  const std::pair<const char*, std::optional<WeightKind>> cases[] = {
      {"model.layers.0.self_attn.q_proj.weight", WeightKind::kAttention},
      {"model.layers.0.self_attn.q_a_proj.weight", WeightKind::kAttention},
      {"model.layers.0.self_attn.q_b_proj.weight", WeightKind::kAttention},
      {"model.layers.0.self_attn.kv_a_proj_with_mqa.weight", WeightKind::kAttention},
      {"model.layers.0.self_attn.o_proj.weight", WeightKind::kAttention},
      {"model.layers.0.mlp.gate_proj.weight", WeightKind::kDenseMlp},
      {"model.layers.9.mlp.shared_experts.up_proj.weight", WeightKind::kSharedExperts},
      {"model.layers.61.mlp.experts.255.down_proj.weight", WeightKind::kRoutedExperts},
      {"lm_head.weight", WeightKind::kHead},
      {"model.layers.0.self_attn.kv_b_proj.weight", std::nullopt},
      {"model.layers.0.self_attn.q_a_layernorm.weight", std::nullopt},
      {"model.layers.3.mlp.gate.weight", std::nullopt},
      {"model.layers.3.mlp.gate.e_score_correction_bias", std::nullopt},
      {"model.layers.61.eh_proj.weight", std::nullopt},
      {"model.layers.61.shared_head.head.weight", std::nullopt},
      {"model.layers.61.embed_tokens.weight", std::nullopt},
      {"model.embed_tokens.weight", std::nullopt},
      {"model.norm.weight", std::nullopt},
      {"model.layers.0.mlp.gate_proj.weight_scale_inv", std::nullopt},
      {"", std::nullopt}};
  for (const auto& [name, kind] : cases) EXPECT_EQ(weight_kind(name), kind) << name;
}

TEST(PackedFormats, TheRuleKeepsWiderWhatItShould) {
  using enum WeightKind;
  const PackedFormats int8 = packed_formats(Dtype::kInt8, false);
  const PackedFormats int4 = packed_formats(Dtype::kInt4, false);
  const PackedFormats int8_mix = packed_formats(Dtype::kInt8, true);
  const PackedFormats int4_mix = packed_formats(Dtype::kInt4, true);
  for (const WeightKind kind : {kAttention, kDenseMlp, kSharedExperts}) {
    EXPECT_EQ(int8.of(kind), Dtype::kInt8);
    EXPECT_EQ(int4.of(kind), Dtype::kInt4);
    EXPECT_EQ(int8_mix.of(kind), std::nullopt);
    EXPECT_EQ(int4_mix.of(kind), Dtype::kInt8);
  }
  EXPECT_EQ(int8.of(kHead), Dtype::kInt8);
  EXPECT_EQ(int4.of(kHead), Dtype::kInt8);
  EXPECT_EQ(int8_mix.of(kHead), std::nullopt);
  EXPECT_EQ(int4_mix.of(kHead), Dtype::kInt8);
}

TEST(PackedFormats, SurviveConfigJson) {
  for (const Dtype dtype : {Dtype::kInt8, Dtype::kInt4}) {
    for (const bool mix : {false, true}) {
      const PackedFormats formats = packed_formats(dtype, mix);
      EXPECT_EQ(formats.of(WeightKind::kRoutedExperts), dtype);
      Json config = *parse_json(testing_support::kTinyConfig);
      config.set("quantization_config", packed_formats_json(formats));
      const auto parsed = parse_model_config(config.dump(), "config.json");
      ASSERT_TRUE(parsed.ok()) << parsed.error().message;
      EXPECT_EQ(parsed->packed_formats, formats);
      EXPECT_FALSE(parsed->quantization_config);
    }
  }
}

TEST(PackedFormats, WhatIsNotKnownIsRefusedByName) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"quant_method":"fathom"})", "formats is missing"},
      {R"({"quant_method":"fathom","formats":[]})", "expected an object"},
      {R"({"quant_method":"fathom","formats":{"router":"int8"}})", "router"},
      {R"({"quant_method":"fathom","formats":{"attention":"int3"}})", "attention is \"int3\""},
      {R"({"quant_method":"fathom","formats":{"attention":8}})", "attention is 8"},
      {R"({"quant_method":"awq"})", "quant_method"}};
  for (const auto& [quantization, said] : cases) {
    Json config = *parse_json(testing_support::kTinyConfig);
    config.set("quantization_config", *parse_json(quantization));
    const auto parsed = parse_model_config(config.dump(), "config.json");
    ASSERT_FALSE(parsed.ok()) << quantization;
    EXPECT_NE(parsed.error().message.find(said), std::string::npos) << parsed.error().message;
  }
}

}  // namespace
}  // namespace fathom
