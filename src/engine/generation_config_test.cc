#include "engine/generation_config.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

TEST(GenerationConfig, ReadsWhatAffectsRequests) {
  const auto config = parse_generation_config(
      R"({"temperature": 0.6, "top_p": 0.95, "top_k": 50, "eos_token_id": [1, 7], "do_sample": true, "_from_model_config": true})",
      "g");
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->sampling.temperature, 0.6);
  EXPECT_EQ(config->sampling.top_p, 0.95);
  EXPECT_EQ(config->sampling.top_k, 50);
  EXPECT_EQ(config->eos_token_ids, (std::vector<int32_t>{1, 7}));
  EXPECT_EQ(parse_generation_config(R"({"do_sample": false})", "g")->sampling.temperature, 0);
  EXPECT_EQ(parse_generation_config("{}", "g")->sampling.temperature, 1);
}

TEST(GenerationConfig, BadValuesNameFileAndField) {
  for (const char* text : {"[]", "{", R"({"temperature": "hot"})", R"({"temperature": -1})",
                           R"({"eos_token_id": "x"})", R"({"eos_token_id": [1, -1]})",
                           R"({"top_k": -3})", R"({"do_sample": 1})"}) {
    const auto config = parse_generation_config(text, "generation_config.json");
    ASSERT_FALSE(config.ok()) << text;
    EXPECT_NE(config.error().message.find("generation_config.json"), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace fathom
