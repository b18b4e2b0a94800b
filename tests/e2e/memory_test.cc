// Goal: `--max-memory` runs a model that is larger: the plan and the least that would do are said
// and true, answers are the same bytes, memory stays within the limit.
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tests/support/subprocess.h"
#include "tests/support/temp_dir.h"

namespace fathom::test {
namespace {

// Two layers of 64 experts, 101 of 104 MB.
constexpr std::string_view kDeep =
    R"({"model_type":"deepseek_v3","vocab_size":512,"hidden_size":512,
  "intermediate_size":512,"moe_intermediate_size":512,"num_hidden_layers":3,"num_nextn_predict_layers":0,
  "first_k_dense_replace":1,"num_attention_heads":2,"q_lora_rank":128,"kv_lora_rank":128,"qk_nope_head_dim":64,
  "qk_rope_head_dim":32,"v_head_dim":64,"n_routed_experts":64,"n_shared_experts":1,"num_experts_per_tok":4,"n_group":2,
  "topk_group":1,"norm_topk_prob":true,"routed_scaling_factor":2.5,"rms_norm_eps":1e-6,"rope_theta":10000,
  "max_position_embeddings":256,"bos_token_id":0,"eos_token_id":1,"quantization_config":{"quant_method":"fp8",
  "weight_block_size":[128,128]}})";
// One layer of 64 experts, 101 MB, and as many rows of 2,048 columns of scratch as the plan allows:
// 67 MB of it where all 512 are one pass.
constexpr std::string_view kWide =
    R"({"model_type":"deepseek_v3","vocab_size":4096,"hidden_size":2048,
  "intermediate_size":256,"moe_intermediate_size":256,"num_hidden_layers":1,"num_nextn_predict_layers":0,
  "first_k_dense_replace":0,"num_attention_heads":2,"q_lora_rank":128,"kv_lora_rank":128,"qk_nope_head_dim":64,
  "qk_rope_head_dim":32,"v_head_dim":64,"n_routed_experts":64,"n_shared_experts":1,"num_experts_per_tok":8,"n_group":1,
  "topk_group":1,"norm_topk_prob":true,"routed_scaling_factor":2.5,"rms_norm_eps":1e-6,"rope_theta":10000,
  "max_position_embeddings":512,"bos_token_id":0,"eos_token_id":1,"quantization_config":{"quant_method":"fp8",
  "weight_block_size":[128,128]}})";

// "... at least 61.2 MB are ...": "61.2MB".
std::string least_of(const std::string& message) {
  const size_t begin = message.find("at least ");
  const size_t end = message.find(" are needed", begin);
  if (begin == std::string::npos || end == std::string::npos) return {};
  std::string size = message.substr(begin + 9, end - begin - 9);
  std::erase(size, ' ');
  return size;
}

// In MB; a model that is not streamed says none, which is -1.
double peak_of(const std::string& notes) {
  const size_t peak = notes.find("peak memory ");
  return peak == std::string::npos ? -1 : std::stod(notes.substr(peak + 12));
}

// In bytes, of a run that says none; -1 if it fails.
double peak_of_run(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(),
                   {"python3", "-c",
                    "import resource, subprocess, sys\n"
                    "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
                    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)",
                    FATHOM_BINARY});
  const RunResult result = run(arguments);
  return result.exit_code == 0 ? std::stod(result.out) * 1024 : -1;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

class MaxMemory : public ::testing::Test {
 protected:
  void SetUp() override {
    if (kSanitized) GTEST_SKIP() << "a sanitizer takes memory that no plan knows of";
  }
  // Its folder.
  std::string make_model(std::string_view config) {
    const std::string model = folder_.file("model");
    const RunResult made =
        run_fathom({"bench", "--config", folder_.write("config.json", config), "--random", "fp8",
                    "--prompt", "none", "--batch", "1", "--depth", "0", "--repeat", "1",
                    "--seconds", "0.001", "--save", model});
    EXPECT_EQ(made.exit_code, 0) << made.err;
    return model;
  }
  // One line of ids.
  std::string make_input(int n_tokens, int vocab_size) {
    std::string ids = R"({"ids":[0)";
    for (int i = 1; i < n_tokens; ++i) ids += "," + std::to_string(i * 37 % vocab_size);
    return folder_.write("ids.jsonl", ids + "]}\n");
  }
  static RunResult score(const std::string& model, const std::string& input,
                         const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"score", "--threads", "2", input};
    if (!model.empty()) arguments.insert(arguments.end(), {"--model", model});
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_fathom(arguments);
  }

  TempDir folder_;
};

TEST_F(MaxMemory, AModelThatIsLargerGivesTheSameBytesWithinTheLimit) {
  const std::string model = make_model(kDeep);
  const std::string input = make_input(200, 512);
  const RunResult whole = score(model, input, {});
  ASSERT_EQ(whole.exit_code, 0) << whole.err;

  const RunResult little = score(model, input, {"--max-memory", "20MB"});
  EXPECT_EQ(little.exit_code, 1);
  const std::string least = least_of(little.err);
  ASSERT_FALSE(least.empty()) << little.err;

  for (const std::string& limit : {least, std::string("90MB")}) {
    const RunResult streamed = score(model, input, {"--max-memory", limit});
    ASSERT_EQ(streamed.exit_code, 0) << streamed.err;
    EXPECT_EQ(streamed.out, whole.out) << "with " << limit;
    EXPECT_NE(streamed.err.find("of 128 experts fit"), std::string::npos) << streamed.err;
    EXPECT_NE(streamed.err.find("were in memory"), std::string::npos) << streamed.err;
    EXPECT_GT(peak_of(streamed.err), 0) << streamed.err;
    EXPECT_LE(peak_of(streamed.err), std::stod(limit)) << streamed.err;
  }
  const RunResult quiet = score(model, input, {"--max-memory", "90MB", "--quiet"});
  EXPECT_EQ(quiet.err, "");
  EXPECT_EQ(quiet.out, whole.out);
}

// Goal: scratch that is mapped and not touched yet counts, the embedding's rows bring no pages of
// its file with them, and a limit of the shell is planned for.
TEST_F(MaxMemory, LargeScratchIsPartOfThePlan) {
  const std::string model = make_model(kWide);
  const std::string input = make_input(512, 4096);
  const RunResult whole = score(model, input, {});
  ASSERT_EQ(whole.exit_code, 0) << whole.err;
  for (const char* limit : {"130MB", "190MB"}) {
    const RunResult streamed = score(model, input, {"--max-memory", limit});
    ASSERT_EQ(streamed.exit_code, 0) << streamed.err;
    EXPECT_EQ(streamed.out, whole.out) << "with " << limit;
    EXPECT_GT(peak_of(streamed.err), 0) << streamed.err;
    EXPECT_LE(peak_of(streamed.err), std::stod(limit)) << streamed.err;
  }
  const auto under = [&](int64_t kib, const std::string& limit) {
    return run({"/bin/sh", "-c", "ulimit -d \"$0\" && exec \"$@\"", std::to_string(kib),
                FATHOM_BINARY, "score", "--threads", "1", "--model", model, "--max-memory", limit,
                input});
  };
  const RunResult shell = under(130'000'000 / 1024, "130MB");
  EXPECT_EQ(shell.exit_code, 0) << shell.err;
  EXPECT_EQ(shell.out, whole.out);
  const RunResult refused = under(30'000'000 / 1024, "130MB");
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_NE(refused.err.find("ulimit -d"), std::string::npos) << refused.err;
}

// The buffer of the read bandwidth, which the report leaves out of its peak, is part of it here.
TEST_F(MaxMemory, OfABenchCountsItsBuffer) {
  const std::string model = make_model(kWide);
  const double peak =
      peak_of_run({"bench", "--model", model, "--max-memory", "230MB", "--prompt", "512", "--batch",
                   "none", "--depth", "0", "--repeat", "1", "--seconds", "0.001"});
  EXPECT_GT(peak, 100e6) << "failed";
  EXPECT_LE(peak, 230e6);
}

TEST_F(MaxMemory, ALoadedGgufLetsGoOfWhatItChecked) {
  const std::string model = make_model(kDeep);
  const std::string gguf = folder_.file("model.gguf");
  const RunResult made = run_fathom({"convert", model, gguf, "--to", "gguf", "--quantize", "q8_0"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const RunResult streamed = score(gguf, make_input(200, 512), {"--max-memory", "90MB"});
  ASSERT_EQ(streamed.exit_code, 0) << streamed.err;
  EXPECT_GT(peak_of(streamed.err), 0) << streamed.err;
  EXPECT_LE(peak_of(streamed.err), 90) << streamed.err;
}

// Goal: where weights are not streamed, program and margin count too, and passes become shorter
// before the limit is too little.
TEST_F(MaxMemory, OfTheEmbeddedModelCountsTheProgram) {
  const std::string input = make_input(600, 4096);
  const RunResult whole = score({}, input, {});
  if (whole.exit_code != 0) GTEST_SKIP() << whole.err;  // built without a model
  const RunResult little = score({}, input, {"--max-memory", "20MB"});
  EXPECT_EQ(little.exit_code, 1);
  const std::string least = least_of(little.err);
  ASSERT_FALSE(least.empty()) << little.err;
  const RunResult enough = score({}, input, {"--max-memory", least});
  ASSERT_EQ(enough.exit_code, 0) << enough.err;
  EXPECT_EQ(enough.out, whole.out);
  const std::vector<std::string> run = {"score", "--threads", "2", input};
  std::vector<std::string> limited = run;
  limited.insert(limited.end(), {"--max-memory", least});
  const double peak_of_least = peak_of_run(limited);
  EXPECT_LE(peak_of_least, std::stod(least) * 1e6);
  EXPECT_LT(peak_of_least, peak_of_run(run) - 4e6) << "passes are as long as without a limit";
}

}  // namespace
}  // namespace fathom::test
