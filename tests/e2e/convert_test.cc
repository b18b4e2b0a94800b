// Goal: convert keeps every byte of every tensor, and its splits are the demo's.
// Method: runs the program on checkpoints that the test writes; splits are cut here again.
#include "base/str_cat.h"
#include "tests/support/converted.h"

namespace fathom::test {
namespace {

namespace fs = std::filesystem;
using namespace testing_support;  // NOLINT: a test

TEST(Convert, ShardsKeepEveryByte) {
  TempFolder in;
  TempFolder temp;
  write_model(in, kFp8Config, Dtype::kBF16);
  succeed({"convert", in.path(), temp / "many", "--shard-size", "100KB", "--verify"});
  const LoadedTensors before = load(in.path());
  EXPECT_EQ(load(temp / "many"), before);
  EXPECT_TRUE(fs::exists(temp / "many/model.safetensors.index.json"));
  EXPECT_TRUE(fs::exists(temp / "many/model-00001-of-000005.safetensors") ||
              names_in(temp / "many").size() > 4);
  EXPECT_EQ(get_file(temp / "many/config.json"), get_file(in / "config.json"));
  succeed({"convert", temp / "many", temp / "one"});
  EXPECT_EQ(load(temp / "one"), before);
  EXPECT_FALSE(fs::exists(temp / "one/model.safetensors.index.json"));
}

TEST(Convert, ModelParallelSplitsAsTheDemoDoesAndBack) {
  TempFolder in;
  TempFolder temp;
  std::string config(kFp8Config);
  write_model(in, config, Dtype::kBF16);
  // 40 wide shared experts cannot be cut in blocks.
  EXPECT_NE(
      fail({"convert", in.path(), temp / "mp", "--model-parallel", "2"}).find("blocks of 128"),
      std::string::npos);
  config.replace(config.find("\"moe_intermediate_size\":40"), 26, "\"moe_intermediate_size\":256");
  write_model(in, config, Dtype::kBF16);
  const std::string note = succeed({"convert", in.path(), temp / "mp", "--model-parallel", "2"});
  EXPECT_NE(note.find("MTP"), std::string::npos) << note;
  const LoadedTensors before = load(in.path());
  for (int64_t rank = 0; rank < 2; ++rank) {
    const LoadedTensors part = load_file(str_cat(temp / "mp/model", rank, "-mp2.safetensors"));
    EXPECT_EQ(part.count("layers.2.attn.wq_a.weight"), 0u) << "the MTP module";
    EXPECT_EQ(part.at("layers.0.attn.wq_a.weight"),
              before.at("model.layers.0.self_attn.q_a_proj.weight"));
    EXPECT_EQ(part.at("layers.1.ffn.gate.bias"),
              before.at("model.layers.1.mlp.gate.e_score_correction_bias"));
    EXPECT_EQ(part.at("norm.weight"), before.at("model.norm.weight"));
    EXPECT_EQ(part.at("layers.1.ffn_norm.weight"),
              before.at("model.layers.1.post_attention_layernorm.weight"));
    EXPECT_EQ(part.count("layers.1.ffn.experts.1.w1.weight"), rank == 0 ? 1u : 0u);
    EXPECT_EQ(part.count("layers.1.ffn.experts.2.w3.scale"), rank == 1 ? 1u : 0u);
    const Loaded& rows = before.at("model.layers.0.self_attn.q_b_proj.weight_scale_inv");
    const Loaded& row_half = part.at("layers.0.attn.wq_b.scale");
    EXPECT_EQ(row_half.shape, (std::vector<int64_t>{2, 1}));
    EXPECT_EQ(row_half.bytes, rows.bytes.substr(static_cast<size_t>(8 * rank), 8));
    const Loaded& whole = before.at("model.layers.0.self_attn.o_proj.weight");
    const Loaded& half = part.at("layers.0.attn.wo.weight");
    ASSERT_EQ(half.shape, (std::vector<int64_t>{136, 128}));
    for (int64_t r = 0; r < 136; ++r) {
      EXPECT_EQ(half.bytes.substr(static_cast<size_t>(r * 128), 128),
                whole.bytes.substr(static_cast<size_t>(r * 256 + rank * 128), 128));
    }
    EXPECT_EQ(part.at("embed.weight").shape, (std::vector<int64_t>{32, 136}));
    EXPECT_EQ(part.at("layers.1.ffn.shared_experts.w2.weight").shape,
              (std::vector<int64_t>{136, 128}));
  }
  EXPECT_NE(fail({"convert", temp / "mp", temp / "x", "--model-parallel", "2"}).find("already"),
            std::string::npos);
  EXPECT_NE(
      fail({"convert", in.path(), temp / "x", "--model-parallel", "3"}).find("does not divide"),
      std::string::npos);
  succeed({"convert", temp / "mp", temp / "back"});
  LoadedTensors main_model = before;
  std::erase_if(main_model,
                [](const auto& entry) { return entry.first.starts_with("model.layers.2."); });
  EXPECT_EQ(load(temp / "back"), main_model);
  EXPECT_EQ(get_file(temp / "back/config.json"), get_file(in / "config.json"));
}

TEST(Convert, DemoConfigsAreRead) {
  TempFolder in;
  TempFolder temp;
  std::string config(kFp8Config);
  config.replace(config.find("\"moe_intermediate_size\":40"), 26, "\"moe_intermediate_size\":256");
  write_model(in, config, Dtype::kBF16);
  succeed({"convert", in.path(), temp / "mp", "--model-parallel", "2"});
  fs::remove(temp / "mp/config.json");
  EXPECT_NE(fail({"convert", temp / "mp", temp / "back"}).find("--config"), std::string::npos);
  const std::string demo = temp / "demo.json";
  put_file(
      demo,
      R"({"vocab_size": 64, "dim": 136, "inter_dim": 256, "moe_inter_dim": 256, "n_layers": 2, "n_heads": 4,
    "n_dense_layers": 1, "n_routed_experts": 4, "n_shared_experts": 1, "n_activated_experts": 2, "n_expert_groups": 2,
    "n_limited_groups": 1, "route_scale": 2.5, "score_func": "sigmoid", "q_lora_rank": 12, "kv_lora_rank": 16,
    "qk_nope_head_dim": 64, "qk_rope_head_dim": 64, "v_head_dim": 64, "dtype": "fp8"})");
  succeed({"convert", temp / "mp", temp / "back", "--config", demo});
  LoadedTensors main_model = load(in.path());
  std::erase_if(main_model,
                [](const auto& entry) { return entry.first.starts_with("model.layers.2."); });
  EXPECT_EQ(load(temp / "back"), main_model);
  EXPECT_EQ(run_fathom({"inspect", temp / "back"}).exit_code, 0);
  put_file(demo, R"({"dim": 136, "surprise": 1})");
  EXPECT_NE(fail({"convert", temp / "mp", temp / "x", "--config", demo}).find("surprise"),
            std::string::npos);
}

TEST(Convert, BrokenDemoFilesAreNamed) {
  TempFolder in;
  TempFolder temp;
  const std::string config = R"({"model_type":"deepseek_v3","vocab_size":32,"hidden_size":24,
    "intermediate_size":40,"moe_intermediate_size":16,"num_hidden_layers":2,"first_k_dense_replace":1,
    "num_attention_heads":2,"q_lora_rank":null,"kv_lora_rank":16,"qk_nope_head_dim":8,"qk_rope_head_dim":4,
    "v_head_dim":8,"n_routed_experts":4,"num_experts_per_tok":2,"n_group":1,"topk_group":1,"norm_topk_prob":true,
    "routed_scaling_factor":2.5,"rms_norm_eps":1e-6,"rope_theta":10000,"max_position_embeddings":64})";
  write_model(in, config, Dtype::kF32);
  succeed({"convert", in.path(), temp / "mp", "--model-parallel", "2"});
  LoadedTensors second = load_file(temp / "mp/model1-mp2.safetensors");
  const auto rewrite = [&](const LoadedTensors& tensors) {
    TinyTensors out;
    for (const auto& [name, t] : tensors) out.push_back({{name, t.dtype, t.shape}, t.bytes});
    write_tensors(temp / "mp/model1-mp2.safetensors", out);
  };
  LoadedTensors changed = second;
  changed["norm.weight"].bytes[0] ^= 1;
  rewrite(changed);
  EXPECT_NE(fail({"convert", temp / "mp", temp / "x"}).find("norm.weight differs"),
            std::string::npos);
  changed = second;
  changed.erase("layers.0.attn.wo.weight");
  rewrite(changed);
  EXPECT_NE(fail({"convert", temp / "mp", temp / "x"}).find("layers.0.attn.wo.weight"),
            std::string::npos);
  changed = second;
  changed["more.weight"] = changed["norm.weight"];
  rewrite(changed);
  EXPECT_NE(fail({"convert", temp / "mp", temp / "x"}).find("more.weight"), std::string::npos);
  fs::remove(temp / "mp/model1-mp2.safetensors");
  EXPECT_NE(fail({"convert", temp / "mp", temp / "x"}).find("model1-mp2.safetensors"),
            std::string::npos);
}

TEST(Convert, RefusesWhatWouldDestroy) {
  TempFolder in;
  TempFolder temp;
  write_model(in, kFp8Config, Dtype::kBF16);
  const std::string before = get_file(in / "model.safetensors");
  EXPECT_NE(fail({"convert", in.path(), in.path()}).find("is the input folder"), std::string::npos);
  EXPECT_NE(fail({"convert", in.path(), in.path(), "--force"}).find("is the input folder"),
            std::string::npos);
  EXPECT_NE(fail({"convert", in.path(), in / "deeper/out"}).find("inside"), std::string::npos);
  EXPECT_EQ(get_file(in / "model.safetensors"), before);
  put_file(temp / "precious", "x");
  EXPECT_NE(fail({"convert", in.path(), temp.path()}).find("not empty"), std::string::npos);
  EXPECT_EQ(names_in(temp.path()), std::vector<std::string>{"precious"});
  succeed({"convert", in.path(), temp.path(), "--force"});
  EXPECT_EQ(get_file(temp / "precious"), "x");
  EXPECT_NE(fail({"convert", in.path(), temp / "precious"}).find("precious"), std::string::npos);
  EXPECT_NE(fail({"convert", temp / "nothing", temp / "out"}).find("nothing"), std::string::npos);
  EXPECT_NE(fail({"convert", in.path(), "/proc/nothing"}).find("/proc/nothing"), std::string::npos);
  EXPECT_NE(fail({"convert", in.path(), temp / "y", "--max-memory", "100"}).find("--max-memory"),
            std::string::npos);
}

TEST(Convert, UsageErrors) {
  EXPECT_NE(fail({"convert", "a", "b", "--to", "gguf"}, 2).find("gguf"), std::string::npos);
  EXPECT_NE(fail({"convert", "a", "b", "--model-parallel", "0"}, 2).find("whole number"),
            std::string::npos);
  fail({"convert", "a", "b", "--model-parallel", "2", "--shard-size", "1GB"}, 2);
  fail({"convert", "a"}, 2);
  fail({"cast", "a", "b"}, 2);
  fail({"cast", "a", "b", "--to", "int8"}, 2);
  fail({"cast", "a", "b", "--to", "bf16", "--scale-fmt", "ue8m0"}, 2);
}

TEST(Convert, PlacesThatHoldNoFilesAreWrongUsage) {
  TempFolder in;
  write_model(in, kFp8Config, Dtype::kBF16);
  const auto said = [&](const std::string& from, const std::string& to) {
    const RunResult result = run_fathom({"convert", from, to}, {.directory = in.path()});
    EXPECT_EQ(result.exit_code, 2) << result.err;
    fail({"cast", from, to, "--to", "bf16"}, 2);
    return result.err;
  };
  EXPECT_NE(said(in.path(), "-").find("- is no model here"), std::string::npos);
  EXPECT_NE(said("-", in / "out").find("- is no model here"), std::string::npos);
  EXPECT_NE(said(in.path(), "").find("OUT is empty"), std::string::npos);
  EXPECT_NE(said("", in / "out").find("IN is empty"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(in / "-"));
}

}  // namespace
}  // namespace fathom::test
