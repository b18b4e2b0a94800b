// Goal: `fathom inspect` keeps its contract (JSON shape, figures, exit codes) as a person or a
// script meets it. Method: runs the program on the configs of published models and on the reference
// models where they are.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "base/str_cat.h"
#include "io/json.h"
#include "io/sha256.h"
#include "tests/support/subprocess.h"
#include "tests/support/temp_dir.h"

namespace fathom::test {
namespace {

const std::string kConfigs = FATHOM_TESTDATA "/configs/";
const std::string kModels = FATHOM_SHARED "/reference/models/";

Json inspect_json(const std::string& path) {
  const RunResult result = run_fathom({"inspect", path, "--json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  auto json = parse_json(result.out);
  EXPECT_TRUE(json.ok());
  return json.ok() ? *json : Json();
}

int64_t number(const Json& json, std::string_view group, std::string_view key) {
  const Json* found = json.find(group);
  found = found == nullptr ? nullptr : found->find(key);
  EXPECT_NE(found, nullptr) << group << "." << key;
  return found == nullptr ? -1 : found->as_int();
}

TEST(Inspect, JsonOfThePublishedConfig) {
  const Json json = inspect_json(kConfigs + "v3.json");
  EXPECT_EQ(json.find("family")->as_string(), "DeepSeek-V3");
  EXPECT_EQ(number(json, "parameters", "total"), 671'026'419'200);
  EXPECT_EQ(number(json, "parameters", "activated"), 37'552'297'472);
  EXPECT_EQ(number(json, "parameters", "activated_without_embedding"), 36'625'618'432);
  EXPECT_EQ(number(json, "parameters", "mtp_stored"), 13'463'426'304);
  EXPECT_EQ(number(json, "parameters", "mtp_unique"), 11'610'068'224);
  EXPECT_EQ(number(json, "kv_bytes_per_token", "bf16"), 70'272);
  EXPECT_EQ(number(json, "kv_bytes_per_token", "fp8"), 40'016);
  EXPECT_EQ(number(json, "kv_bytes_per_token", "f32"), 140'544);
  EXPECT_EQ(number(json, "bytes", "total"), 688'574'839'360);
  EXPECT_EQ(json.find("tensors")->as_array().size(), 91'991u);
  EXPECT_EQ(json.find("parameters")->find("items")->as_array().size(), 21u);
}

TEST(Inspect, VerifyFindsOneFlippedBit) {
  namespace fs = std::filesystem;
  TempDir folder;
  fs::copy(fs::path(FATHOM_TESTDATA).parent_path() / "models/default", folder.path());
  std::vector<std::string> shards;
  for (const auto& entry : fs::directory_iterator(folder.path())) {
    if (entry.path().extension() == ".safetensors")
      shards.push_back(entry.path().filename().string());
  }
  std::sort(shards.begin(), shards.end());
  const std::string shard = shards.back();
  std::string bytes = read_file(folder.file(shard));
  folder.write("SHA256SUMS", sha256_hex(std::as_bytes(std::span(bytes))) + "  " + shard + "\n");
  const RunResult good = run_fathom({"inspect", folder.path(), "--verify"});
  EXPECT_EQ(good.exit_code, 0) << good.err;
  EXPECT_NE(good.out.find(
                str_cat("1 of ", shards.size(),
                        " files of weights and 0 others have a known checksum, and it is right")),
            std::string::npos)
      << good.out;
  bytes[bytes.size() - 1000] ^= 4;
  folder.write(shard, bytes);
  EXPECT_EQ(run_fathom({"inspect", folder.path()}).exit_code, 0);
  const RunResult bad = run_fathom({"inspect", folder.path(), "--verify"});
  EXPECT_EQ(bad.exit_code, 1);
  EXPECT_NE(bad.err.find(shard + " is damaged"), std::string::npos) << bad.err;
  EXPECT_EQ(run_fathom({"inspect", kConfigs + "v3.json", "--verify"}).exit_code, 2);
}

TEST(Inspect, TextShowsTheFiguresAndWhatFits) {
  const RunResult result = run_fathom({"inspect", kConfigs + "v3.json", "--memory", "1TB"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  for (const char* text :
       {"671,026,419,200", "37,552,297,472", "36,625,618,432", "13,463,426,304", "11,610,068,224",
        "688.6 GB", "70,272", "163,840", "What fits into 1.0 TB\n", "does not fit"}) {
    EXPECT_NE(result.out.find(text), std::string::npos) << text;
  }
  EXPECT_EQ(result.out.find("lm_head"), std::string::npos);
  const RunResult listed = run_fathom({"inspect", kConfigs + "v2-lite.json", "--tensors"});
  EXPECT_NE(listed.out.find("lm_head.weight"), std::string::npos);
}

// 1,000 bytes beyond the weights hold as many tokens as divide into them.
TEST(Inspect, ContextIsWhatTheWeightsLeave) {
  const Json config = inspect_json(kConfigs + "v2-lite.json");
  const int64_t weights = number(config, "bytes", "total");
  const int64_t token = number(config, "kv_bytes_per_token", "bf16");
  const RunResult result = run_fathom({"inspect", kConfigs + "v2-lite.json", "--json", "--memory",
                                       str_cat(weights + 10 * token - 1)});
  const auto json = parse_json(result.out);
  ASSERT_TRUE(json.ok());
  const Json& fit = json->find("memory")->find("fits")->as_array()[0];
  EXPECT_EQ(fit.find("bytes")->as_int(), weights);
  EXPECT_EQ(fit.find("context")->find("bf16")->as_int(), 9);
  EXPECT_EQ(fit.find("context")->find("f32")->as_int(), 4);
}

TEST(Inspect, OfFolders) {
  if (!std::filesystem::exists(kModels)) GTEST_SKIP() << kModels << " is not here";
  const Json fp8 = inspect_json(kModels + "v3-fp8");
  int64_t listed = 0;
  for (const Json& tensor : fp8.find("tensors")->as_array()) {
    listed += tensor.find("bytes")->as_int();
    EXPECT_TRUE(tensor.find("file")->as_string().starts_with("model-0000"));
  }
  EXPECT_EQ(listed, number(fp8, "bytes", "total"));
  EXPECT_GT(number(fp8, "bytes", "F8_E4M3"), 0);
  const Json mtp = inspect_json(kModels + "v3-mtp");
  EXPECT_GT(number(mtp, "parameters", "mtp_stored"), number(mtp, "parameters", "mtp_unique"));
}

TEST(Inspect, SaysWhatIsWrongInOneSentence) {
  TempDir folder;
  const auto error_of = [](const std::string& path, int exit_code) {
    const RunResult result = run_fathom({"inspect", path});
    EXPECT_EQ(result.exit_code, exit_code) << path;
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    return result.err;
  };
  EXPECT_NE(error_of(folder.file("nothing.json"), 1).find("nothing.json"), std::string::npos);
  EXPECT_NE(error_of(folder.write("model.gguf", "GGUF"), 1).find("GGUF"), std::string::npos);
  EXPECT_NE(error_of(folder.write("model.safetensors", ""), 1).find("folder"), std::string::npos);
  EXPECT_NE(error_of(folder.write("half.json", "{\"model_type\": "), 1).find("half.json"),
            std::string::npos);
  EXPECT_NE(error_of(folder.path(), 1).find("config.json"), std::string::npos);
}

}  // namespace
}  // namespace fathom::test
