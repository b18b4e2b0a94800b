// Goal: convert --quantize makes folders that run, lose as little as docs/quantization.md says, and
// say what they are; damaged ones are answered by one sentence. Method: runs the program on the
// a trained model's folder, and on small checkpoints of random weights.
#include "base/str_cat.h"
#include "io/json.h"
#include "tests/support/converted.h"

namespace fathom::test {
namespace {

namespace fs = std::filesystem;
using namespace testing_support;  // NOLINT: a test

const std::string kReference = FATHOM_SHARED "/models/reference";  // a trained model in BF16
const std::string kText = FATHOM_TESTDATA "/default/perplexity.jsonl";

void quantize(const std::string& in, const std::string& out, const std::string& format,
              const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments = {"convert", in, out, "--quantize", format, "--quiet"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  const RunResult result = run_fathom(arguments);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  // --quiet is about progress and notes; the table is the result.
  EXPECT_NE(result.out.find("\n total "), std::string::npos) << result.out;
}
Json report_of(const std::string& folder) {
  return *parse_json(get_file(folder + "/quantization.json"));
}

class QuantizedReference : public ::testing::TestWithParam<std::pair<const char*, double>> {};

// The limits are those that the formats promise, with the activations that auto picks.
TEST_P(QuantizedReference, PerplexityRisesByLessThanPromised) {
  if (!fs::exists(kReference)) GTEST_SKIP() << kReference << " is not there";
  const auto& [format, rise_max] = GetParam();
  TempFolder temp;
  const std::string out = temp / "out";
  quantize(kReference, out, format, {"--perplexity", kText});
  const Json report = report_of(out);
  const Json& perplexity = *report.find("perplexity");
  EXPECT_EQ(perplexity.find("n_tokens")->as_int(), 6377);
  EXPECT_NEAR(perplexity.find("before")->as_double(), 66.676, 0.1);
  EXPECT_LT(perplexity.find("rise_percent")->as_double(), rise_max);
  EXPECT_GT(perplexity.find("rise_percent")->as_double(), -rise_max);
  const RunResult story = run_fathom({"generate", "--model", out, "--temperature", "0",
                                      "--max-tokens", "8", "Once upon a time there was a"});
  EXPECT_EQ(story.exit_code, 0) << story.err;
  EXPECT_GT(story.out.size(), 8u);
}
INSTANTIATE_TEST_SUITE_P(Formats, QuantizedReference,
                         ::testing::Values(std::pair("int8", 0.3), std::pair("int4", 2.0),
                                           std::pair("int4,mix", 0.6), std::pair("fp8", 0.3)),
                         [](const auto& tested) {
                           std::string name = tested.param.first;
                           std::replace(name.begin(), name.end(), ',', '_');
                           return name;
                         });

// Of FP8 weights (dimensions no multiples of a block), with an MTP module.
struct Packed {
  explicit Packed(const std::string& format = "int4,mix") {
    write_model(in, kFp8Config, Dtype::kBF16);
    quantize(in.path(), out, format);
  }
  TempFolder in;
  TempFolder temp;
  const std::string out = temp / "out";
};

TEST(Quantize, PacksWhatTheRuleSaysAndKeepsTheRest) {
  const Packed packed;
  const LoadedTensors before = load(packed.in.path()), after = load(packed.out);
  const std::string experts = "model.layers.1.mlp.experts.3.down_proj.weight";  // [136, 40]
  EXPECT_EQ(after.at(experts).dtype, Dtype::kU8);
  EXPECT_EQ(after.at(experts).shape, (std::vector<int64_t>{9, 1, 576}));
  const std::string dense = "model.layers.0.mlp.gate_proj.weight";  // [256, 136]
  EXPECT_EQ(after.at(dense).shape, (std::vector<int64_t>{16, 2, 2112}));
  EXPECT_EQ(after.at("lm_head.weight").shape, (std::vector<int64_t>{4, 2, 2112}));
  EXPECT_EQ(after.count(dense + "_scale_inv"), 0u);
  for (const char* kept :
       {"model.layers.0.self_attn.kv_b_proj.weight",
        "model.layers.0.self_attn.kv_b_proj.weight_scale_inv", "model.layers.1.mlp.gate.weight",
        "model.embed_tokens.weight", "model.layers.2.eh_proj.weight", "model.norm.weight"}) {
    EXPECT_EQ(after.at(kept), before.at(kept)) << kept;
  }
  // Every packed tensor begins at a multiple of 64 in its file.
  const auto files = ModelFiles::open_folder(packed.out);
  for (const CheckpointTensor& entry : Checkpoint::open(*files)->tensors()) {
    if (entry.tensor.dtype != Dtype::kU8) continue;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(entry.tensor.data) % 64, 0u) << entry.name;
  }
  const Json config = *parse_json(get_file(packed.out + "/config.json"));
  EXPECT_EQ(config.find("custom")->dump(), "[1,2.5,\"three\"]");
  EXPECT_EQ(config.find("quantization_config")->dump(),
            R"({"quant_method":"fathom","formats":{"attention":"int8","dense_mlp":"int8",)"
            R"("shared_experts":"int8","routed_experts":"int4","lm_head":"int8"}})");
  EXPECT_EQ(get_file(packed.out + "/tokenizer.json"), "{\"a\": 1}");
}

TEST(Quantize, TheReportIsOfEveryMatrixThatChanged) {
  const Packed packed;
  const Json report = report_of(packed.out);
  int64_t bytes = report.find("kept")->find("bytes")->as_int();
  // kv_b_proj's scales are kept and counted.
  for (const Json& tensor : report.find("tensors")->as_array()) {
    bytes += tensor.find("bytes")->as_int();
    const double error = tensor.find("relative_rms_error")->as_double();
    const bool int8 = tensor.find("to")->as_string() == "INT8";
    EXPECT_GT(error, int8 ? 0.001 : 0.02) << tensor.dump();
    EXPECT_LT(error, int8 ? 0.01 : 0.12) << tensor.dump();
  }
  EXPECT_EQ(bytes, report.find("total")->find("bytes")->as_int());
  EXPECT_EQ(report.find("perplexity"), nullptr);
}

TEST(Quantize, InspectShowsTheTypesAndAPackedFolderCanBeShardedAnew) {
  const Packed packed("int4");
  const RunResult shown = run_fathom({"inspect", packed.out, "--json", "--verify"});
  ASSERT_EQ(shown.exit_code, 0) << shown.err;
  const Json bytes = *parse_json(shown.out)->find("bytes");
  EXPECT_GT(bytes.find("INT4")->as_int(), 0);
  EXPECT_EQ(bytes.find("U8"), nullptr);
  succeed({"convert", packed.out, packed.temp / "many", "--shard-size", "20KB", "--verify"});
  EXPECT_EQ(load(packed.temp / "many"), load(packed.out));
  EXPECT_EQ(run_fathom({"inspect", packed.temp / "many"}).exit_code, 0);
}

TEST(Quantize, OneRunOrTwoAndAnyNumberOfThreadsGiveTheSameBytes) {
  TempFolder in;
  TempFolder temp;
  write_model(in, kFp8Config, Dtype::kBF16);
  quantize(in.path(), temp / "a", "int4", {"--threads", "1", "--shard-size", "50KB"});
  quantize(in.path(), temp / "b", "int4",
           {"--threads", "3", "--shard-size", "50KB", "--max-memory", "1MiB"});
  EXPECT_EQ(load(temp / "a"), load(temp / "b"));
  EXPECT_EQ(get_file(temp / "a/quantization.json"), get_file(temp / "b/quantization.json"));
}

TEST(Quantize, WrongUsageIsSaidBeforeAnythingIsWritten) {
  const Packed packed;
  const std::string in = packed.in.path(), out = packed.temp / "no";
  const auto usage = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments = {"convert", in, out};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const std::string said = fail(arguments, 2);
    EXPECT_FALSE(fs::exists(out));
    return said;
  };
  EXPECT_NE(usage({"--quantize", "int3"}).find("int3"), std::string::npos);
  EXPECT_NE(usage({"--quantize", "int8", "--to", "safetensors"}).find("packed"), std::string::npos);
  EXPECT_NE(usage({"--quantize", "fp8", "--to", "packed"}).find("fp8"), std::string::npos);
  EXPECT_NE(usage({"--to", "packed"}).find("--quantize"), std::string::npos);
  EXPECT_NE(usage({"--perplexity", "x.txt"}).find("--quantize"), std::string::npos);
  EXPECT_NE(usage({"--quantize", ""}).find("--quantize: is empty"), std::string::npos);
  EXPECT_NE(usage({"--quantize", "int8", "--perplexity-tokens", "5"}).find("--perplexity"),
            std::string::npos);
  usage({"--quantize", "int8", "--model-parallel", "2"});
  usage({"--quantize", "bf16", "--shard-size", "1MB"});
  for (const std::vector<std::string>& refused :
       {std::vector<std::string>{"convert", packed.out, out, "--quantize", "int8"},
        {"convert", packed.out, out, "--model-parallel", "2"},
        {"cast", packed.out, out, "--to", "bf16"},
        {"cast", packed.out, out, "--to", "fp8"}}) {
    EXPECT_NE(fail(refused).find("packed"), std::string::npos);
    EXPECT_FALSE(fs::exists(out));
  }
}

// A text that cannot be scored is no matter to find out after hours of conversion.
TEST(Quantize, TheTextIsReadBeforeAnythingIsWritten) {
  TempFolder in;
  TempFolder temp;
  write_model(in, kFp8Config, Dtype::kBF16);
  const auto said = [&](const std::string& text, const std::string& input = "") {
    const RunResult result = run_fathom(
        {"convert", in.path(), temp / "out", "--quantize", "int8", "--perplexity", text, "--quiet"},
        {.input = input});
    EXPECT_EQ(result.exit_code, 1) << result.err;
    EXPECT_FALSE(fs::exists(temp / "out"));
    return result.err;
  };
  put_file(temp / "bad.jsonl", "{\"ids\": [1, 2]}\n{\"txt\": \"a\"}\n");
  EXPECT_NE(said(temp / "bad.jsonl").find("bad.jsonl, line 2: expected an object with \"text\""),
            std::string::npos);
  put_file(temp / "short.jsonl", "{\"ids\": [1]}\n");
  EXPECT_NE(said(temp / "short.jsonl").find("no two tokens"), std::string::npos);
  EXPECT_NE(said("-", "").find("no two tokens"), std::string::npos);
  EXPECT_NE(said(temp / "absent.txt").find("absent.txt"), std::string::npos);
  fs::remove(in / "tokenizer.json");
  EXPECT_NE(said("-", "words").find("has no tokenizer"), std::string::npos);
}

TEST(Quantize, PerplexityIsMeasuredWithinTheMemoryAskedFor) {
  TempFolder in;
  TempFolder temp;
  write_model(in, kFp8Config, Dtype::kBF16);
  fs::remove(in / "tokenizer.json");
  put_file(temp / "ids.jsonl", "{\"ids\": [1, 2, 3, 4, 5]}\n");
  quantize(in.path(), temp / "a", "int8", {"--perplexity", temp / "ids.jsonl"});
  EXPECT_EQ(report_of(temp / "a").find("perplexity")->find("n_tokens")->as_int(), 4);
  const RunResult result =
      run_fathom({"convert", in.path(), temp / "b", "--quantize", "int8", "--quiet", "--perplexity",
                  temp / "ids.jsonl", "--max-memory", "1MiB"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find("--max-memory"), std::string::npos) << result.err;
  EXPECT_NE(result.out.find("\n total "), std::string::npos) << "the folder is complete";
}

TEST(Quantize, WhatIsFp8StaysSo) {
  TempFolder in;
  TempFolder temp;
  write_model(in, kFp8Config, Dtype::kBF16);
  const RunResult result = run_fathom({"convert", in.path(), temp / "out", "--quantize", "fp8"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("is FP8 already: its weights stay as they are"), std::string::npos);
  EXPECT_EQ(load(temp / "out"), load(in.path()));
  EXPECT_EQ(get_file(temp / "out/config.json"), get_file(in / "config.json"));
  EXPECT_TRUE(report_of(temp / "out").find("tensors")->as_array().empty());
}

TEST(Quantize, AnInfiniteWeightIsNamed) {
  TempFolder in;
  TempFolder temp;
  TinyTensors tensors = tiny_tensors(parse(kTinyConfig), Dtype::kF32, 1);
  const std::string name = "model.layers.1.mlp.experts.2.up_proj.weight";
  std::string& bytes = tensor_named(tensors, name).bytes;
  bytes.replace(bytes.size() - 4, 4, std::string("\0\0\x80\x7f", 4));
  write_tiny_model(in, kTinyConfig, tensors);
  EXPECT_NE(fail({"convert", in.path(), temp / "o", "--quantize", "int8"}).find(name),
            std::string::npos);
  EXPECT_FALSE(fs::exists(temp / "o/config.json"));
}

// A packed folder with its config.json changed.
std::string said_of(const Packed& packed, const std::string& from, const std::string& to) {
  std::string config = get_file(packed.out + "/config.json");
  const size_t at = config.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  config.replace(at, from.size(), to);
  put_file(packed.out + "/config.json", config);
  return fail({"inspect", packed.out});
}

TEST(Quantize, FoldersThatContradictThemselvesAreRefused) {
  const auto has = [](const std::string& said, const std::string& part) {
    EXPECT_NE(said.find(part), std::string::npos) << said;
  };
  has(said_of(Packed(), R"("routed_experts": "int4")", R"("routed_experts": "int8")"),
      "[9, 1, 2112]");
  has(said_of(Packed(), R"("routed_experts": "int4")", R"("routed_experts": "int2")"), "int2");
  has(said_of(Packed(), R"(  "lm_head": "int8")", R"(  "shared_experts": "int8")"),
      "shared_experts");
  has(said_of(Packed(), R"("quant_method": "fathom")", R"("quant_method": "fp8")"),
      "weight_block_size");
  has(said_of(Packed(), R"("intermediate_size": 256)", R"("intermediate_size": 272)"),
      "[9, 3, 2112]");
  const Packed cut;
  const std::string file = cut.out + "/model.safetensors";
  fs::resize_file(file, fs::file_size(file) - 1);
  has(fail({"inspect", cut.out}), "model.safetensors");
  Packed damaged("int8");
  std::string bytes = get_file(damaged.out + "/model.safetensors");
  const auto parsed = parse_safetensors(std::as_bytes(std::span(bytes)), "model");
  for (const NamedTensor& named : parsed->tensors) {
    if (named.name != "lm_head.weight") continue;
    const auto at = static_cast<size_t>(named.tensor.as<char>() - bytes.data());
    bytes.replace(at, 4, "\xff\xff\xff\xff");  // the first scale of its first block: NaN
  }
  put_file(damaged.out + "/model.safetensors", bytes);
  has(fail({"inspect", damaged.out}), "not a finite number");
}

}  // namespace
}  // namespace fathom::test
