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
constexpr std::string_view kConfig =
    R"({"model_type":"deepseek_v3","vocab_size":512,"hidden_size":512,
  "intermediate_size":512,"moe_intermediate_size":512,"num_hidden_layers":3,"num_nextn_predict_layers":0,
  "first_k_dense_replace":1,"num_attention_heads":2,"q_lora_rank":128,"kv_lora_rank":128,"qk_nope_head_dim":64,
  "qk_rope_head_dim":32,"v_head_dim":64,"n_routed_experts":64,"n_shared_experts":1,"num_experts_per_tok":4,"n_group":2,
  "topk_group":1,"norm_topk_prob":true,"routed_scaling_factor":2.5,"rms_norm_eps":1e-6,"rope_theta":10000,
  "max_position_embeddings":256,"bos_token_id":0,"eos_token_id":1,"quantization_config":{"quant_method":"fp8",
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

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

TEST(MaxMemory, AModelThatIsLargerGivesTheSameBytesWithinTheLimit) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer takes memory that no plan knows of";
  TempDir folder;
  const std::string config = folder.write("config.json", kConfig);
  const std::string model = folder.file("model");
  const RunResult made =
      run_fathom({"bench", "--config", config, "--random", "fp8", "--prompt", "none", "--batch",
                  "1", "--depth", "0", "--repeat", "1", "--seconds", "0.001", "--save", model});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  std::string ids = R"({"ids":[0)";
  for (int i = 1; i < 200; ++i) ids += "," + std::to_string(i * 37 % 512);
  const std::string input = folder.write("ids.jsonl", ids + "]}\n");
  const auto score = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments = {"score", "--model", model, "--threads", "2", input};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_fathom(arguments);
  };
  const RunResult whole = score({});
  ASSERT_EQ(whole.exit_code, 0) << whole.err;

  const RunResult little = score({"--max-memory", "20MB"});
  EXPECT_EQ(little.exit_code, 1);
  const std::string least = least_of(little.err);
  ASSERT_FALSE(least.empty()) << little.err;

  for (const std::string& limit : {least, std::string("90MB")}) {
    const RunResult streamed = score({"--max-memory", limit});
    ASSERT_EQ(streamed.exit_code, 0) << streamed.err;
    EXPECT_EQ(streamed.out, whole.out) << "with " << limit;
    EXPECT_NE(streamed.err.find("of 128 experts fit"), std::string::npos) << streamed.err;
    EXPECT_NE(streamed.err.find("were in memory"), std::string::npos) << streamed.err;
    const size_t peak = streamed.err.find("peak memory ");
    ASSERT_NE(peak, std::string::npos) << streamed.err;
    EXPECT_LE(std::stod(streamed.err.substr(peak + 12)), std::stod(limit)) << streamed.err;
  }
  const RunResult quiet = score({"--max-memory", "90MB", "--quiet"});
  EXPECT_EQ(quiet.err, "");
  EXPECT_EQ(quiet.out, whole.out);
}

}  // namespace
}  // namespace fathom::test
