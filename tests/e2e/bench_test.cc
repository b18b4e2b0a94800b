// Goal: `fathom bench` keeps its contract (JSON shape, table, exit codes) as a person or a script
// meets it. Method: runs the program with tiny models and times; speeds themselves are never
// tested.
#include <gtest/gtest.h>

#include <algorithm>

#include "io/json.h"
#include "tests/support/subprocess.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace fathom::test {
namespace {

RunResult bench(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"bench", "--repeat", "3", "--seconds", "0.001"});
  return run_fathom(arguments);
}

Json bench_json(std::vector<std::string> arguments) {
  arguments.push_back("--json");
  const RunResult result = bench(std::move(arguments));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  auto json = parse_json(result.out);
  EXPECT_TRUE(json.ok());
  return json.ok() ? *json : Json();
}

std::vector<std::string> keys(const Json& json) {
  std::vector<std::string> out;
  for (const auto& [key, value] : json.as_object()) out.push_back(key);
  return out;
}
void expect_keys(const Json& json, std::initializer_list<const char*> names) {
  const std::vector<std::string> present = keys(json);
  for (const char* name : names)
    EXPECT_EQ(std::count(present.begin(), present.end(), name), 1) << name;
}

TEST(BenchCommand, JsonHasTheShapeOfTheContract) {
  TempDir folder;
  const std::string config = folder.write("config.json", testing_support::kTinyFp8Config);
  const Json json = bench_json({"--config", config, "--random", "fp8", "--layers", "2+3", "--vocab",
                                "50", "--prompt", "8,16", "--depth", "0,40", "--batch", "1,2"});
  EXPECT_EQ(keys(json), (std::vector<std::string>{"machine", "model", "results"}));
  const Json& machine = *json.find("machine");
  expect_keys(machine,
              {"cpu", "isa", "threads", "read_gb_s", "fp32_gflop_s", "bf16_gflop_s", "int8_gop_s"});
  EXPECT_GT(machine.find("read_gb_s")->as_double(), 0);
  const Json& model = *json.find("model");
  EXPECT_EQ(model.find("n_dense_layers")->as_int(), 2);
  EXPECT_EQ(model.find("n_moe_layers")->as_int(), 3);
  EXPECT_EQ(model.find("vocab_size")->as_int(), 50);
  EXPECT_EQ(model.find("activations")->as_string(), "fp8");
  expect_keys(model, {"weight_bytes", "load_seconds", "peak_memory_bytes"});
  const auto& results = json.find("results")->as_array();
  ASSERT_EQ(results.size(), 8u);  // two prompts and two batches, each at two depths
  for (size_t i = 0; i < results.size(); ++i) {
    const Json& result = results[i];
    expect_keys(result, {"test", "n_prompt", "n_batch", "depth", "tokens_per_s", "runs",
                         "bytes_per_step", "ops_per_step", "share_of_bandwidth", "share_of_peak",
                         "limit", "machine_before", "machine_after"});
    EXPECT_EQ(result.find("test")->as_string(), i < 4 ? "prefill" : "decode");
    EXPECT_EQ(result.find("runs")->as_array().size(), 3u);
    EXPECT_GT(result.find("tokens_per_s")->as_double(), 0);
    expect_keys(*result.find("machine_before"),
                {"read_gb_s", "fp32_gflop_s", "bf16_gflop_s", "int8_gop_s"});
    const std::string& limit = result.find("limit")->as_string();
    EXPECT_TRUE(limit == "bandwidth" || limit == "compute") << limit;
  }
  EXPECT_EQ(results[3].find("n_prompt")->as_int(), 16);
  EXPECT_EQ(results[3].find("depth")->as_int(), 40);
  EXPECT_EQ(results[5].find("n_batch")->as_int(), 2);
}

TEST(BenchCommand, DraftsOfAGivenAcceptance) {
  const Json json = bench_json({"--prompt", "none", "--batch", "none", "--acceptance", "0.85"});
  EXPECT_EQ(json.find("results")->as_array().size(), 0u);
  const Json& drafts = *json.find("drafts");
  expect_keys(drafts, {"gain", "expected_gain", "tokens_per_s", "tokens_per_s_without"});
  EXPECT_NEAR(drafts.find("acceptance")->as_double(), 0.85, 0.15);
  const RunResult table = bench({"--prompt", "none", "--batch", "1", "--acceptance", "0"});
  EXPECT_EQ(table.exit_code, 0) << table.err;
  EXPECT_NE(table.out.find("0.0 % of them right"), std::string::npos) << table.out;

  TempDir folder;
  const std::string config = folder.write("config.json", testing_support::kTinyConfig);
  const RunResult none = bench({"--config", config, "--random", "bf16", "--acceptance", "0.5"});
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_NE(none.err.find("random weights have one with --mtp"), std::string::npos) << none.err;
  const RunResult far = bench({"--context", "60", "--prompt", "none", "--acceptance", "0.5"});
  EXPECT_EQ(far.exit_code, 1);
  EXPECT_NE(far.err.find("but the context is 60"), std::string::npos) << far.err;
}

TEST(BenchCommand, TheTableHasALineForEachTest) {
  const RunResult result = bench({"--batch", "1,3"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out.find("machine  "), 0u);
  EXPECT_NE(result.out.find("\nmodel    the embedded model: "), std::string::npos);
  EXPECT_NE(result.out.find("\nprefill "), std::string::npos);
  EXPECT_NE(result.out.find("\ndecode "), std::string::npos);
}

void expect_saved_is_a_model(const std::string& format) {
  SCOPED_TRACE(format);
  TempDir folder;
  const std::string config = folder.write("tiny.json", testing_support::kTinyConfig);
  const std::string saved = folder.file("saved");
  const std::vector<std::string> tests = {"--prompt", "none", "--depth", "2", "--batch", "1"};
  std::vector<std::string> arguments = {"--config", config,   "--random", format,
                                        "--mtp",    "--save", saved};
  arguments.insert(arguments.end(), tests.begin(), tests.end());
  const Json made = bench_json(arguments);
  EXPECT_EQ(made.find("model")->find("n_mtp_modules")->as_int(), 1);
  EXPECT_EQ(bench(arguments).exit_code, 1);  // the folder is taken
  arguments = {"--model", saved};
  arguments.insert(arguments.end(), tests.begin(), tests.end());
  const Json read = bench_json(arguments);
  for (const char* key : {"weight_bytes", "n_mtp_modules", "parameters"}) {
    EXPECT_EQ(made.find("model")->find(key)->as_int(), read.find("model")->find(key)->as_int())
        << key;
  }
}

TEST(BenchCommand, SavedWeightsAreAModel) {
  for (const char* format : {"bf16", "int8", "int4"}) expect_saved_is_a_model(format);
}

TEST(BenchCommand, SaysWhatIsWrongInOneSentence) {
  TempDir folder;
  const std::string config = folder.write("config.json", testing_support::kTinyConfig);
  const struct {
    std::vector<std::string> arguments;
    int exit_code;
    const char* says;
  } cases[] = {
      {{"--config", config, "--random", "int2"}, 2, "int2"},
      {{"--config", config, "--random", "fp4"}, 2, "fp4"},
      {{"--config", config}, 2, "--random"},
      {{"--random", "fp8"}, 2, "--config"},
      {{"--layers", "1+1"}, 2, "--config"},
      {{"--config", config, "--random", "bf16", "--layers", "3"}, 2, "DENSE+MOE"},
      {{"--config", config, "--random", "bf16", "--model", "x"}, 2, "--model"},
      {{"--config", config, "--random", "bf16", "--layers", "50000+50000"}, 1, "num_hidden_layers"},
      {{"--config", config, "--random", "bf16", "--layers", "1+1", "--prompt", "64", "--depth",
        "1"},
       1,
       "context is 64"},
      {{"--config", FATHOM_TESTDATA "/configs/v3.json", "--random", "fp8", "--max-memory", "8GB"},
       1,
       "the weights take"},
      {{"--prompt", "1,,2"}, 2, "--prompt"},
      {{"--batch", "0"}, 2, "--batch"},
      {{"--depth", "-1"}, 2, "--depth"},
      {{"--prompt", "none", "--batch", "none"}, 2, "nothing to measure"},
      {{"--config", folder.file("no.json"), "--random", "bf16"}, 1, "no.json"},
      {{"--config", folder.write("bad.json", "[1"), "--random", "bf16"}, 1, "bad.json"},
      {{"--model", folder.file("nothing")}, 1, "nothing"},
  };
  for (const auto& c : cases) {
    const RunResult result = bench(c.arguments);
    EXPECT_EQ(result.exit_code, c.exit_code) << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_NE(result.err.find(c.says), std::string::npos) << result.err;
  }
}

}  // namespace
}  // namespace fathom::test
