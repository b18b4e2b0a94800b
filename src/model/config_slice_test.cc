// Goal: a slice changes what it names and nothing else, and the result is a config that the model
// takes.
#include "model/config_slice.h"

#include <gtest/gtest.h>

#include "io/files.h"
#include "io/json.h"
#include "model/config.h"

namespace fathom {
namespace {

std::string published(const std::string& name) {
  auto text = read_file(FATHOM_TESTDATA "/configs/" + name);
  EXPECT_TRUE(text.ok());
  return text.ok() ? *text : std::string();
}

ModelConfig sliced(const std::string& name, const ConfigSlice& slice) {
  const auto text = slice_config(published(name), name, slice);
  EXPECT_TRUE(text.ok());
  const auto config = parse_model_config(*text, name);
  EXPECT_TRUE(config.ok()) << (config.ok() ? "" : config.error().message);
  return config.ok() ? *config : ModelConfig();
}

TEST(ConfigSlice, PackedWeightsFollowTheRuleWithoutMix) {
  for (const auto weights : {ConfigSlice::Weights::kInt8, ConfigSlice::Weights::kInt4}) {
    const ModelConfig config = sliced("v3.json", {.weights = weights});
    const Dtype dtype = weights == ConfigSlice::Weights::kInt8 ? Dtype::kInt8 : Dtype::kInt4;
    EXPECT_EQ(config.packed_formats, packed_formats(dtype, false));
    EXPECT_FALSE(config.quantization_config);
  }
}

TEST(ConfigSlice, TakesLayersVocabularyAndWeights) {
  const ModelConfig config = sliced("v3.json", {.layers = ConfigSlice::Layers{1, 2},
                                                .vocab_size = 32768,
                                                .mtp = false,
                                                .weights = ConfigSlice::Weights::kFp8});
  EXPECT_EQ(config.num_hidden_layers, 3);
  EXPECT_EQ(config.first_k_dense_replace, 1);
  EXPECT_EQ(config.num_nextn_predict_layers, 0);
  EXPECT_EQ(config.vocab_size, 32768);
  EXPECT_TRUE(config.quantization_config.has_value());
  EXPECT_EQ(config.n_routed_experts, 256);
  EXPECT_EQ(config.hidden_size, 7168);
  EXPECT_TRUE(config.rope_scaling.has_value());
}

TEST(ConfigSlice, MtpAndFp8OnlyWhereAskedFor) {
  const ModelConfig bf16 = sliced("v3.json", {.mtp = true});
  EXPECT_EQ(bf16.num_nextn_predict_layers, 1);
  EXPECT_FALSE(bf16.quantization_config.has_value());
  EXPECT_EQ(bf16.num_hidden_layers, 61);
  const ModelConfig lite =
      sliced("v2-lite.json",
             {.mtp = true, .weights = ConfigSlice::Weights::kFp8});  // neither stands in the file
  EXPECT_EQ(lite.num_nextn_predict_layers, 1);
  EXPECT_TRUE(lite.quantization_config.has_value());
  EXPECT_EQ(sliced("v3.1.json", {.weights = ConfigSlice::Weights::kFp8}).quantization_config->ue8m0,
            parse_model_config(published("v3.1.json"), "")->quantization_config->ue8m0);
}

TEST(ConfigSlice, TokenIdsStayWithinTheVocabulary) {
  const ModelConfig config = sliced("kimi-k2.json", {.vocab_size = 1000});
  EXPECT_EQ(config.vocab_size, 1000);
  for (const int32_t id : config.eos_token_id) EXPECT_EQ(id, 999);
  EXPECT_EQ(config.bos_token_id, 999);
}

TEST(ConfigSlice, KeepsWhatItDoesNotKnow) {
  const auto text =
      slice_config(R"({"x": [1, {"y": null}], "layer_types": [1], "dtype": "float32"})", "c",
                   {.layers = ConfigSlice::Layers{2, 1}});
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(
      parse_json(*text)->dump(),
      R"({"x":[1,{"y":null}],"dtype":"bfloat16","num_hidden_layers":3,"first_k_dense_replace":2,)"
      R"("num_nextn_predict_layers":0})");
  EXPECT_FALSE(slice_config("[]", "c", {}).ok());
  EXPECT_FALSE(slice_config("{", "c", {}).ok());
}

TEST(ConfigSlice, LayersAreTwoNumbers) {
  EXPECT_EQ(parse_layers("1+2")->n_dense, 1);
  EXPECT_EQ(parse_layers("1+2")->n_moe, 2);
  EXPECT_EQ(parse_layers("0+1")->n_dense, 0);
  for (const char* wrong : {"", "1", "1+", "+1", "1+1x", "-1+2", "1+-2", "0+0", "1 + 1",
                            "999999999+1", "99999999999999999999+1"}) {
    const auto layers = parse_layers(wrong);
    ASSERT_FALSE(layers.ok()) << wrong;
    EXPECT_EQ(layers.error().code, ErrorCode::kUsage);
  }
}

}  // namespace
}  // namespace fathom
