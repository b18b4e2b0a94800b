// Goal: a run's file says what it means, and a wrong one is refused in one sentence with its line.
// Method: the examples of the repository, and a small file with one thing wrong at a time.
#include "train/run_config.h"

#include <gtest/gtest.h>

#include "io/files.h"
#include "io/json.h"
#include "model/parameters.h"
#include "train/config_reader.h"

namespace fathom {
namespace {

const std::string kExamples = std::string(FATHOM_TESTDATA) + "/../examples/train/";

constexpr std::string_view kSmall = R"(output = "out"
steps = 10
precision = "fp32"
[model]
config = "config.json"
[data]
sequence_length = 32
batch = 4
sources = [{ path = "/shards/a" }, { path = "b", weight = 2 }]
[optimizer]
learning_rate = 1e-3
)";

Result<RunConfig> parse(std::string_view text, const std::vector<std::string>& sets = {}) {
  return parse_run_config(text, "run.toml", "/work", sets);
}

std::string error_with(const std::vector<std::string>& sets) {
  const auto run = parse(kSmall, sets);
  return run.ok() ? "no error" : run.error().message;
}

TEST(RunConfig, The671BRecipeIsThatOfTheReport) {
  const auto run = read_run_config(kExamples + "deepseek-v3-671b.toml", {});
  ASSERT_TRUE(run.ok()) << run.error().message;
  const auto model = run_model(*run);
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_EQ(count_parameters(model->config).total, 671'026'419'200);
  EXPECT_TRUE(model->config.quantization_config.has_value());
  EXPECT_FALSE(model->config.rope_scaling.has_value());
  EXPECT_EQ(run->tokens, 14'800'000'000'000);
  EXPECT_EQ(batch_sequences(run->batch, {1, 0}, 1), 3072);
  EXPECT_EQ(batch_sequences(run->batch, {1, 469'000'000'000}, 1), 15360);
  EXPECT_DOUBLE_EQ(curve_value(run->learning_rate, {1, 0}), 2.2e-4 / 2000);
  EXPECT_DOUBLE_EQ(curve_value(run->learning_rate, {99'999, 12'150'000'000'000}), 1.21e-4);
  EXPECT_DOUBLE_EQ(curve_value(run->learning_rate, {99'999, 14'400'000'000'000}), 2.2e-5);
  EXPECT_DOUBLE_EQ(curve_value(run->learning_rate, {99'999, 14'700'000'000'000}), 7.3e-6);
  EXPECT_EQ(curve_value(run->mtp_lambda, {1, 10'000'000'000'000}), 0.1);
  EXPECT_EQ(curve_value(run->balance.bias_speed, {1, 14'300'000'000'000}), 0.0);
  EXPECT_EQ(run->balance.sequence_alpha, 1e-4);
  EXPECT_EQ(run->optimizer.beta2, 0.95);
  EXPECT_TRUE(run->optimizer.bf16_moments);
}

TEST(RunConfig, AllExamplesAreRead) {
  for (const char* name :
       {"tiny.toml", "default.toml", "deepseek-v3-671b-32k.toml", "deepseek-v3-671b-128k.toml"}) {
    const auto run = read_run_config(kExamples + name, {});
    EXPECT_TRUE(run.ok()) << run.error().message;
  }
  const auto model = run_model(*read_run_config(kExamples + "tiny.toml", {}));
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_EQ(model->config.q_lora_rank, 0);
}

TEST(RunConfig, YarnExtendsTheModelOfAnother) {
  const std::string folder = std::string(FATHOM_TESTDATA) + "/models/v3-bf16";
  const auto run = parse(
      kSmall, {"model.config=\"" + folder + "/config.json\"", "model.yarn.factor=40",
               "model.yarn.original_max_position_embeddings=64", "data.sequence_length=2560"});
  ASSERT_TRUE(run.ok()) << run.error().message;
  const auto model = run_model(*run);
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_EQ(model->config.max_position_embeddings, 2560);
  EXPECT_EQ(model->config.rope_scaling->factor, 40);
  EXPECT_EQ(model->config.rope_scaling->mscale_all_dim, 1);
}

TEST(RunConfig, PathsStartFromTheFileAndSetsWin) {
  const auto run = parse(kSmall, {"steps=20", "optimizer.clip=0.5", "output=/elsewhere"});
  ASSERT_TRUE(run.ok()) << run.error().message;
  EXPECT_EQ(run->config_path, "/work/config.json");
  EXPECT_EQ(run->output, "/elsewhere");
  ASSERT_EQ(run->stages.size(), 1u);
  EXPECT_EQ(run->stages[0].sources[0].path, "/shards/a");
  EXPECT_EQ(run->stages[0].sources[1].path, "/work/b");
  EXPECT_EQ(run->stages[0].sources[1].weight, 2);
  EXPECT_EQ(run->steps, 20);
  EXPECT_EQ(run->optimizer.clip, 0.5);
}

TEST(RunConfig, WrittenAndReadElsewhereItIsTheSameRun) {
  const auto run =
      parse(kSmall, {"data.batch=[{from=2,value=8,shape=\"linear\",until_step=5},{value=8}]"});
  ASSERT_TRUE(run.ok()) << run.error().message;
  const auto again = parse_run_config(write_run_config(*run), "copy.toml", "/tmp", {});
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_EQ(again->output, run->output);
  EXPECT_EQ(again->digest, run->digest);
  EXPECT_TRUE(again->batch == run->batch);
  // The end of a run is not part of what it is; a learning rate is.
  EXPECT_EQ(parse(write_run_config(*run), {"steps=11"})->digest, run->digest);
  EXPECT_NE(parse(write_run_config(*run), {"optimizer.learning_rate=1e-4"})->digest, run->digest);
}

TEST(RunConfig, MistakesAreNamedWithTheirLines) {
  EXPECT_EQ(
      parse(std::string(kSmall) + "weight_decy = 0.1\n").error().message,
      "run.toml:12: optimizer.weight_decy is no field of a run; did you mean 'weight_decay'?");
  EXPECT_EQ(parse("stepps = 1\n" + std::string(kSmall)).error().message,
            "run.toml:1: stepps is no field of a run; did you mean 'steps'?");
  EXPECT_EQ(error_with({"precision=fp16"}),
            "run.toml with --set: precision is 'fp16'; did you mean 'fp8'?");
  EXPECT_EQ(error_with({"data.batch=0"}),
            "run.toml with --set: data.batch is 0.0, expected 1.0 to 1048576.0");
  EXPECT_EQ(error_with({"steps=0"}), "run.toml with --set: steps is 0, expected at least 1");
  EXPECT_EQ(
      error_with({"tokens=\"1.5\""}),
      "run.toml with --set: tokens '1.5' is no count; write digits, or 64K, 80M, 1.5B, 14.8T");
  EXPECT_EQ(error_with({"optimizer.learning_rate=[{value=1,shape=\"linear\"}]"}),
            "run.toml with --set: optimizer.learning_rate[0] is a slope, so it needs an end: "
            "until_tokens or "
            "until_step");
  EXPECT_EQ(error_with({"model.inline.hidden_size=3"}),
            "run.toml:4: model has both config and inline; give one");
  EXPECT_EQ(error_with({"steps"}), "--set takes name=value, got 'steps'");
  EXPECT_EQ(error_with({"steps.x=1"}), "--set steps.x=1: what stands before 'x' is no table");
  EXPECT_EQ(error_with({"sample.every=5"}),
            "run.toml with --set: sample needs a tokenizer and prompts");
}

TEST(RunConfig, NumbersThatTrainNothingAreRefused) {
  EXPECT_EQ(error_with({"optimizer.learning_rate=nan"}),
            "run.toml with --set: optimizer.learning_rate is nan, expected 0.0 to 10.0");
  EXPECT_EQ(error_with({"optimizer.learning_rate=0"}),
            "run.toml with --set: optimizer.learning_rate is 0, which learns nothing");
  EXPECT_EQ(error_with({"optimizer.learning_rate=[{value=1,until_step=9},{value=2,until_step=5},"
                        "{value=1}]"}),
            "run.toml with --set: optimizer.learning_rate is wrong: piece 2 ends at 5 steps, which "
            "is not after 9; ends must rise");
  EXPECT_EQ(error_with({"data.batch=2.5"}),
            "run.toml with --set: data.batch is 2.5, expected a whole number of sequences");
  EXPECT_NE(
      error_with({"data.batch=[{value=2.5,until_step=9},{value=4}]"}).find("data.batch is 2.5"),
      std::string::npos);
  EXPECT_EQ(error_with({"data.sources=[{path=\"a\",weight=0}]"}),
            "run.toml with --set: data.sources[0].weight is 0; leave the source out, or give it a "
            "share");
}

TEST(RunConfig, EndsOfStagesRise) {
  std::string text(kSmall);
  const std::string sources =
      "sources = [{ path = \"/shards/a\" }, { path = \"b\", weight = 2 }]\n";
  const auto with_ends = [&](const std::string& first, const std::string& second) {
    std::string staged = text;
    staged.erase(staged.find(sources), sources.size());
    for (const std::string& end : {first, second, std::string()})
      staged += "[[data.stages]]\n" + end + "\nsources = [{ path = \"a\" }]\n";
    const auto run = parse(staged);
    return run.ok() ? "" : run.error().message;
  };
  EXPECT_EQ(with_ends("until_step = 20", "until_step = 50"), "");
  EXPECT_EQ(with_ends("until_step = 50", "until_tokens = 20"), "");
  EXPECT_EQ(with_ends("until_step = 50", "until_step = 20"),
            "run.toml:14: data.stages[1] ends at 20 steps, where a stage before it has ended; ends "
            "must rise");
}

TEST(RunConfig, FieldsOfAModelWrittenInTheFileAreKnown) {
  const std::string tiny = kExamples + "tiny.toml";
  const auto run = read_run_config(tiny, {"model.inline.hiden_size=7"});
  ASSERT_TRUE(run.ok()) << run.error().message;
  const auto model = run_model(*run);
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.error().message,
            tiny +
                " with --set: model.inline.hiden_size is no field of a run; did you mean "
                "'hidden_size'?");
}

// What every published config.json says may be written in a run's file too.
TEST(RunConfig, AllFieldsOfThePublishedModelsAreKnown) {
  const std::string folder = std::string(FATHOM_TESTDATA) + "/configs/";
  for (const char* name :
       {"v2.json", "v2-lite.json", "v3.json", "v3.1.json", "moonlight.json", "kimi-k2.json"}) {
    const auto text = read_file(folder + name);
    ASSERT_TRUE(text.ok()) << text.error().message;
    auto run = read_run_config(kExamples + "tiny.toml", {});
    ASSERT_TRUE(run.ok()) << run.error().message;
    const Json published = parse_json(*text).value();
    for (const auto& [field, value] : published.as_object())
      ASSERT_TRUE(run->document.set("model.inline." + field, parse_toml_value("1")).ok());
    const auto model = run_model(*run);
    EXPECT_TRUE(model.ok()) << name << ": " << model.error().message;
  }
}

TEST(RunConfig, ScalesThatArePowersOfTwoStaySo) {
  const auto quantization = [](const std::vector<std::string>& sets) -> Json {
    const auto run = read_run_config(kExamples + "tiny.toml", sets);
    const auto model = run_model(*run);
    if (!model.ok()) return model.error().message;
    const Json json = parse_json(model->json).value();
    const Json* found = json.find("quantization_config");
    return found == nullptr ? Json() : *found;
  };
  const std::string given =
      "model.inline.quantization_config={quant_method=\"fp8\",scale_fmt=\"ue8m0\","
      "weight_block_size=[128,128]}";
  const Json kept = quantization({"precision=fp8", given});
  ASSERT_NE(kept.find("scale_fmt"), nullptr) << kept.dump();
  EXPECT_EQ(kept.find("scale_fmt")->as_string(), "ue8m0");
  EXPECT_EQ(quantization({"precision=fp8"}).find("scale_fmt"), nullptr);
  EXPECT_TRUE(quantization({"precision=bf16", given}).is_null());
  const Json other = quantization({"model.inline.quantization_config.quant_method=\"gptq\""});
  ASSERT_TRUE(other.is_string()) << other.dump();
  EXPECT_NE(other.as_string().find("gptq"), std::string::npos) << other.as_string();
}

TEST(RunConfig, CountsTakeUnits) {
  EXPECT_EQ(*parse_count("14.633T"), 14'633'000'000'000);
  EXPECT_EQ(*parse_count("469B"), 469'000'000'000);
  EXPECT_EQ(*parse_count("1.5K"), 1500);
  EXPECT_EQ(*parse_count("007"), 7);
  for (const char* bad : {"", "K", "1.5", "1.2.3M", "-3", "1e6", "12345678901234567890",
                          "9999999T0", "99999999999999T", ".5K"})
    EXPECT_FALSE(parse_count(bad).ok()) << bad;
}

}  // namespace
}  // namespace fathom
