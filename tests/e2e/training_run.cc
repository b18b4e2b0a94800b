#include "tests/e2e/training_run.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "base/check.h"
#include "base/mix64.h"
#include "base/str_cat.h"
#include "tests/support/json_lines.h"
#include "tests/support/tokenizers.h"

namespace fathom::test {
namespace {

namespace fs = std::filesystem;

constexpr int kDocuments = 120;
constexpr const char* kSubjects[] = {"The fox",   "A small bear", "The old king",
                                     "My sister", "The miller",   "A grey goose"};
constexpr const char* kVerbs[] = {"saw",  "carried",       "looked for",
                                  "sold", "was afraid of", "sang to"};
constexpr const char* kObjects[] = {"the river",  "a golden apple", "the moon",
                                    "two loaves", "the wolf",       "a little house"};
constexpr const char* kPlaces[] = {"in the wood",     "by the well", "at night",
                                   "before the rain", "on the hill", "behind the mill"};

// Sentences that a model learns something of in twenty steps.
std::string documents() {
  std::string lines;
  uint64_t draws = 0;
  const auto draw = [&draws](const auto& words) { return words[mix64(++draws) % 6]; };
  for (int document = 0; document < kDocuments; ++document) {
    std::string text;
    for (int sentence = 0; sentence < 8; ++sentence) {
      str_append(text, draw(kSubjects), " ", draw(kVerbs), " ", draw(kObjects), " ", draw(kPlaces),
                 ".\n");
    }
    lines += Json(Json::Object{{"text", text}}).dump() + "\n";
  }
  return lines;
}

int64_t step_of_name(const std::string& name) {
  const bool good = name.size() == 13 && name.starts_with("step-") &&
                    name.find_first_not_of("0123456789", 5) == std::string::npos;
  return good ? std::stoll(name.substr(5)) : -1;
}

Words with_sets(Words arguments, const Words& sets) {
  for (const std::string& set : sets) {
    arguments.emplace_back("--set");
    arguments.push_back(set);
  }
  return arguments;
}

}  // namespace

std::string training_configuration() {
  return R"(output = "run"
precision = "bf16"
steps = 20
seed = 7
tokenizer = "tokenizer"

[model]
init_std = 0.05

[model.inline]
model_type = "deepseek_v3"
vocab_size = 263
hidden_size = 32
intermediate_size = 64
moe_intermediate_size = 16
num_hidden_layers = 2
num_attention_heads = 2
q_lora_rank = 16
kv_lora_rank = 16
qk_nope_head_dim = 16
qk_rope_head_dim = 16
v_head_dim = 16
n_routed_experts = 4
n_shared_experts = 1
num_experts_per_tok = 2
n_group = 2
topk_group = 1
norm_topk_prob = true
routed_scaling_factor = 2.5
first_k_dense_replace = 1
num_nextn_predict_layers = 1
rms_norm_eps = 1e-6
rope_theta = 10000.0
max_position_embeddings = 64
bos_token_id = 260
eos_token_id = 261

[data]
sequence_length = 32
batch = 6
micro_batch = 2
sources = [{ path = "shards" }]

[optimizer]
learning_rate = [{ value = 1e-2, shape = "linear", until_step = 4 }, { value = 1e-2 }]

[evaluate]
every = 10
sequences = 8

[sample]
every = 10
tokens = 8
prompts = ["The fox"]

[checkpoints]
every = 5
keep = 2
)";
}

void make_training_files(const TempDir& dir) {
  dir.write("tokenizer/tokenizer.json", small_tokenizer_json().dump());
  dir.write("tokenizer/tokenizer_config.json",
            R"({"add_bos_token":true,"bos_token":"<s>","eos_token":"</s>"})");
  dir.write("documents.jsonl", documents());
  const RunResult made =
      run_fathom({"data", dir.file("documents.jsonl"), "--tokenizer", dir.file("tokenizer"),
                  "--output", dir.file("shards"), "--validation-fraction", "0.1", "--quiet"});
  FATHOM_CHECK(made.exit_code == 0, made.err);
}

TrainingFolder::TrainingFolder() {
  make_training_files(dir);
  dir.write("run.toml", training_configuration());
}

Words TrainingFolder::train(const std::string& output, const Words& sets) const {
  return with_sets({"train", dir.file("run.toml"), "--set", "output=" + output}, sets);
}

Words TrainingFolder::resume(const std::string& output, const Words& sets) const {
  return with_sets({"train", "--resume", dir.file(output)}, sets);
}

std::string TrainingFolder::checkpoint(const std::string& output, int64_t step) const {
  const std::string digits = std::to_string(step);
  return str_cat(dir.file(output), "/checkpoints/step-", std::string(8 - digits.size(), '0'),
                 digits);
}

std::vector<int64_t> TrainingFolder::checkpoints(const std::string& output) const {
  std::vector<int64_t> steps;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(dir.file(output) + "/checkpoints", none))
    steps.push_back(step_of_name(entry.path().filename().string()));
  std::sort(steps.begin(), steps.end());
  return steps;
}

std::vector<Json> TrainingFolder::log(const std::string& output) const {
  std::vector<Json> lines = json_lines(read_file(dir.file(output) + "/log.jsonl"));
  for (Json& line : lines)
    std::erase_if(line.as_object(), [](const auto& m) { return m.first == "tokens_per_s"; });
  return lines;
}

std::string TrainingFolder::log_text(const std::string& output) const {
  std::string text;
  for (const Json& line : log(output)) text += line.dump() + "\n";
  return text;
}

std::map<std::string, std::string> files_of(const std::string& folder) {
  std::map<std::string, std::string> files;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none))
    files[entry.path().filename().string()] = read_file(entry.path().string());
  return files;
}

void expect_same_files(const std::string& a, const std::string& b) {
  const auto first = files_of(a), second = files_of(b);
  EXPECT_FALSE(first.empty()) << a;
  EXPECT_EQ(first.size(), second.size()) << a << " and " << b;
  for (const auto& [name, bytes] : first) {
    const auto found = second.find(name);
    ASSERT_NE(found, second.end()) << b << " has no " << name;
    EXPECT_TRUE(found->second == bytes) << name << " differs in " << a << " and " << b;
  }
}

std::string train_well(const Words& arguments) {
  const RunResult result = run_fathom(arguments);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "");
  return result.err;
}

}  // namespace fathom::test
