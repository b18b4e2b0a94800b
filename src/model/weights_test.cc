// Goal: what a checkpoint holds and what its config promises are the same, or the first difference
// is named. Method: a good tiny checkpoint with one thing broken at a time; counts and sums of the
// published V3 by the spec.
#include "model/weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>

#include "model/tensor_values.h"
#include "tests/support/tiny_model.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using namespace testing_support;

ModelConfig config_of(std::string_view json) {
  auto config = parse_model_config(json, "config.json");
  FATHOM_CHECK(config.ok(), config.ok() ? "" : config.error().message);
  return *config;
}

Result<ModelWeights> load(const ModelConfig& config, const std::string& folder) {
  FATHOM_TRY(const ModelFiles files, ModelFiles::open_folder(folder));
  FATHOM_TRY(Checkpoint checkpoint, Checkpoint::open(files));
  return load_weights(config, std::make_shared<const Checkpoint>(std::move(checkpoint)));
}

// The message of loading a tiny model after `change`, or "" if it loads.
std::string error_after(std::string_view config_json,
                        const std::function<void(TinyTensors&)>& change) {
  const ModelConfig config = config_of(config_json);
  TinyTensors tensors = tiny_tensors(config, Dtype::kBF16, 1);
  change(tensors);
  TempFolder folder;
  write_tiny_model(folder, config_json, tensors);
  const auto weights = load(config, folder.path());
  return weights.ok() ? std::string() : weights.error().message;
}

#define EXPECT_HAS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

TEST(ExpectedTensors, CountAndSumOfThePublishedV3) {
  ModelConfig c = config_of(kTinyConfig);
  c.vocab_size = 129280, c.hidden_size = 7168, c.intermediate_size = 18432,
  c.moe_intermediate_size = 2048;
  c.num_hidden_layers = 61, c.first_k_dense_replace = 3, c.num_attention_heads = 128,
  c.q_lora_rank = 1536;
  c.kv_lora_rank = 512, c.qk_nope_head_dim = 128, c.qk_rope_head_dim = 64, c.v_head_dim = 128;
  c.n_routed_experts = 256, c.n_group = 8, c.topk_group = 4, c.num_experts_per_tok = 8;
  int64_t tensors = 0, scales = 0, parameters = 0, main_parameters = 0;
  for (const ExpectedTensor& t : expected_tensors(c)) {
    int64_t elements = 1;
    for (int64_t extent : t.shape) elements *= extent;
    tensors += t.quantised ? 2 : 1;
    scales += t.quantised ? 1 : 0;
    parameters += elements;
    if (!t.name.starts_with(layer_prefix(61))) main_parameters += elements;
  }
  EXPECT_EQ(tensors, 91991);
  EXPECT_EQ(scales, 45808);
  EXPECT_EQ(parameters, 684489845504);
  EXPECT_EQ(main_parameters, 671026419200);
}

TEST(Weights, EveryDtypeLoadsAndStaysAsItIs) {
  for (Dtype dtype : {Dtype::kF32, Dtype::kF16, Dtype::kBF16}) {
    const ModelConfig config = config_of(kTinyConfig);
    TinyTensors tensors = tiny_tensors(config, dtype, 1);
    TempFolder folder;
    write_tiny_model(folder, kTinyConfig, tensors);
    const auto weights = load(config, folder.path());
    ASSERT_TRUE(weights.ok()) << weights.error().message;
    ASSERT_EQ(weights->layers.size(), 2u);
    ASSERT_EQ(weights->mtp.size(), 1u);
    EXPECT_TRUE(weights->notes.empty());
    EXPECT_EQ(weights->lm_head.dtype, dtype);
    EXPECT_FALSE(weights->layers[0].is_moe);
    ASSERT_TRUE(weights->layers[1].is_moe);
    EXPECT_EQ(weights->layers[1].moe.experts.size(), 4u);
    EXPECT_EQ(weights->layers[1].moe.e_score_correction_bias.size(), 4u);
    const LinearWeight& down = weights->layers[1].moe.experts[3].down_proj;
    const TinyTensor& stored =
        tensor_named(tensors, "model.layers.1.mlp.experts.3.down_proj.weight");
    EXPECT_EQ(std::memcmp(down.data, stored.bytes.data(), stored.bytes.size()), 0);
    EXPECT_EQ(down.n, 24);
    EXPECT_EQ(down.k, 16);
    EXPECT_EQ(weights->mtp[0].eh_proj.k, 48);
  }
}

TEST(Weights, Fp8ComesWithItsScales) {
  const ModelConfig config = config_of(kTinyFp8Config);
  TinyTensors tensors = tiny_tensors(config, Dtype::kBF16, 1);
  // The same values in the other two dtypes that scales come in.
  TinyTensor& bf16 = tensor_named(tensors, "model.layers.0.self_attn.o_proj.weight_scale_inv");
  bf16.spec.dtype = Dtype::kBF16;
  bf16.bytes = std::string("\x80\x3f\x00\x40", 4);  // 1, 2
  TinyTensor& e8m0 = tensor_named(tensors, "model.layers.0.mlp.up_proj.weight_scale_inv");
  e8m0.spec.dtype = Dtype::kF8E8M0;
  e8m0.bytes = std::string("\x7f\x7d", 2);  // 1, 1/4
  TempFolder folder;
  write_tiny_model(folder, kTinyFp8Config, tensors);
  const auto weights = load(config, folder.path());
  ASSERT_TRUE(weights.ok()) << weights.error().message;
  const LinearWeight& o_proj = weights->layers[0].self_attn.o_proj;
  EXPECT_EQ(o_proj.dtype, Dtype::kF8E4M3);
  EXPECT_EQ(o_proj.scale_inv[0], 1.0f);
  EXPECT_EQ(o_proj.scale_inv[1], 2.0f);
  EXPECT_EQ(weights->layers[0].mlp.up_proj.scale_inv[1], 0.25f);
  EXPECT_EQ(weights->layers[1].moe.gate.dtype, Dtype::kBF16);
}

TEST(Weights, SegmentsFollowTheShape) {
  ModelConfig config = config_of(kTinyConfig);
  config.intermediate_size = 2048;
  config.moe_intermediate_size = 1024;
  TempFolder folder;
  write_tiny_model(folder, kTinyConfig, tiny_tensors(config, Dtype::kBF16, 1));
  const auto weights = load(config, folder.path());
  ASSERT_TRUE(weights.ok()) << weights.error().message;
  EXPECT_EQ(weights->layers[0].mlp.down_proj.n_segments, 8);
  EXPECT_EQ(weights->layers[0].mlp.up_proj.n_segments, 1);
  EXPECT_EQ(weights->layers[0].self_attn.o_proj.n_segments, 1);
  EXPECT_EQ(weights->layers[1].moe.shared_experts.down_proj.n_segments, 8);
  EXPECT_EQ(weights->layers[1].moe.experts[0].down_proj.n_segments, 1);
}

TEST(Weights, MissingExtraAndMistypedTensorsAreNamed) {
  const std::string router = "model.layers.1.mlp.gate.weight";
  EXPECT_EQ(error_after(kTinyConfig, [](TinyTensors&) {}), "");
  for (const ExpectedTensor& expected : expected_tensors(config_of(kTinyConfig))) {
    if (expected.optional) continue;
    const std::string error = error_after(kTinyConfig, [&](TinyTensors& tensors) {
      std::erase_if(tensors, [&](const TinyTensor& t) { return t.spec.name == expected.name; });
    });
    EXPECT_HAS(error, "tensor " + expected.name + " of shape");
    EXPECT_HAS(error, "is missing");
  }
  std::string error = error_after(kTinyConfig, [&](TinyTensors& tensors) {
    tensors.push_back({{"model.layers.0.self_attn.q_proj.bias", Dtype::kBF16, {1}}, "ab"});
  });
  EXPECT_HAS(error, "tensor model.layers.0.self_attn.q_proj.bias (");
  EXPECT_HAS(error, "belongs to no part of the model");
  EXPECT_EQ(error_after(kTinyConfig,
                        [&](TinyTensors& tensors) {
                          tensors.push_back(
                              {{"model.layers.0.self_attn.rotary_emb.inv_freq", Dtype::kF32, {1}},
                               "abcd"});
                        }),
            "");
  error = error_after(kTinyConfig, [&](TinyTensors& tensors) {
    TinyTensor& t = tensor_named(tensors, router);
    t.spec.shape = {2, 24};
    t.bytes.resize(t.bytes.size() / 2);
  });
  EXPECT_HAS(error, "tensor " + router);
  EXPECT_HAS(error, "expected [4, 24] from config.json, file has [2, 24]");
  error = error_after(kTinyConfig, [&](TinyTensors& tensors) {
    tensor_named(tensors, router).spec.dtype = Dtype::kI16;
  });
  EXPECT_HAS(error, "is I16, expected BF16, F16 or F32");
  error = error_after(kTinyConfig, [&](TinyTensors& tensors) {
    TinyTensor& t = tensor_named(tensors, "model.layers.1.mlp.experts.2.up_proj.weight");
    t.spec.dtype = Dtype::kF8E4M3;
    t.bytes.resize(t.bytes.size() / 2);
  });
  EXPECT_HAS(error, "experts.2.up_proj.weight");
  EXPECT_HAS(error, "no quantization_config");
  error = error_after(kTinyConfig, [&](TinyTensors& tensors) {
    tensor_named(tensors, "model.norm.weight").bytes.replace(2, 2, "\xc0\x7f", 2);
  });
  EXPECT_HAS(error, "tensor model.norm.weight");
  EXPECT_HAS(error, "element 1 is nan");
}

TEST(Weights, MtpModules) {
  const auto without_module = [](TinyTensors& tensors) {
    std::erase_if(tensors,
                  [](const TinyTensor& t) { return t.spec.name.starts_with("model.layers.2."); });
  };
  const ModelConfig config = config_of(kTinyConfig);
  TinyTensors tensors = tiny_tensors(config, Dtype::kBF16, 1);
  without_module(tensors);
  TempFolder folder;
  write_tiny_model(folder, kTinyConfig, tensors);
  const auto weights = load(config, folder.path());
  ASSERT_TRUE(weights.ok()) << weights.error().message;
  EXPECT_TRUE(weights->mtp.empty());
  ASSERT_EQ(weights->notes.size(), 1u);
  EXPECT_HAS(
      weights->notes[0],
      "config.json names 1 MTP module (num_nextn_predict_layers), but the checkpoint holds none");

  std::string copy;
  EXPECT_EQ(error_after(kTinyConfig,
                        [&](TinyTensors& t) {
                          TinyTensor embedding = tensor_named(t, "model.embed_tokens.weight");
                          embedding.spec.name = "model.layers.2.embed_tokens.weight";
                          t.push_back(embedding);
                        }),
            "");
  const std::string error = error_after(kTinyConfig, [&](TinyTensors& t) {
    TinyTensor head = tensor_named(t, "lm_head.weight");
    head.spec.name = "model.layers.2.shared_head.head.weight";
    head.bytes[5] ^= 1;
    t.push_back(head);
  });
  EXPECT_HAS(error, "model.layers.2.shared_head.head.weight");
  EXPECT_HAS(error, "differs from lm_head.weight");

  ModelConfig main_only = config;
  main_only.num_nextn_predict_layers = 0;
  TempFolder whole;
  write_tiny_model(whole, kTinyConfig, tiny_tensors(config, Dtype::kBF16, 1));
  const auto refused = load(main_only, whole.path());
  ASSERT_FALSE(refused.ok());
  EXPECT_HAS(refused.error().message, "num_nextn_predict_layers is 0");
}

TEST(Weights, TiedHeadIsTheEmbedding) {
  ModelConfig config = config_of(kTinyConfig);
  config.tie_word_embeddings = true;
  TempFolder folder;
  write_tiny_model(folder, kTinyConfig, tiny_tensors(config, Dtype::kBF16, 1));
  const auto weights = load(config, folder.path());
  ASSERT_TRUE(weights.ok()) << weights.error().message;
  EXPECT_EQ(weights->lm_head.data, weights->embed_tokens.data);
}

// Faults of FP8 (faults 41): the scale's value goes into block [0, 1] of a [1, 2] grid.
TEST(Weights, BrokenFp8IsNamed) {
  const std::string weight = "model.layers.0.mlp.gate_proj.weight";
  const std::string scale = weight + "_scale_inv";
  EXPECT_EQ(error_after(kTinyFp8Config, [](TinyTensors&) {}), "");
  const float nan = std::numeric_limits<float>::quiet_NaN(),
              infinity = std::numeric_limits<float>::infinity();
  for (float bad : {nan, infinity, 0.0f, -1.0f, 1e-40f}) {
    const std::string error = error_after(kTinyFp8Config, [&](TinyTensors& tensors) {
      std::memcpy(tensor_named(tensors, scale).bytes.data() + 4, &bad, 4);
    });
    EXPECT_HAS(error, "tensor " + scale);
    EXPECT_HAS(error, "the scale of block [0, 1] is");
  }
  std::string error = error_after(kTinyFp8Config, [&](TinyTensors& tensors) {
    TinyTensor& t = tensor_named(tensors, scale);
    t.spec.shape = {2, 1};
  });
  EXPECT_HAS(error, "expected [1, 2] from config.json, file has [2, 1]");
  error = error_after(kTinyFp8Config, [&](TinyTensors& tensors) {
    std::erase_if(tensors, [&](const TinyTensor& t) { return t.spec.name == scale; });
  });
  EXPECT_HAS(error, "tensor " + scale + " of shape [1, 2] is missing");
  for (const char* code : {"\x7f", "\xff"}) {
    error = error_after(kTinyFp8Config, [&](TinyTensors& tensors) {
      tensor_named(tensors, weight).bytes[137] = *code;
    });
    EXPECT_HAS(error, "tensor " + weight);
    EXPECT_HAS(error, "element [1, 1] is NaN");
  }
  error = error_after(kTinyFp8Config, [&](TinyTensors& tensors) {
    TinyTensor& t = tensor_named(tensors, weight);
    t.spec.dtype = Dtype::kBF16;
    t.bytes += t.bytes;
  });
  EXPECT_HAS(error, "is BF16, expected F8_E4M3, since config.json has a quantization_config");
  error = error_after(kTinyFp8Config, [&](TinyTensors& tensors) {
    TinyTensor& t = tensor_named(tensors, "model.layers.1.mlp.gate.weight");
    t.spec.dtype = Dtype::kF8E4M3;
    t.bytes.resize(t.bytes.size() / 2);
  });
  EXPECT_HAS(error, "never quantised");
}

TEST(Weights, NanCodesAreFoundWhereverTheyAre) {
  for (int64_t size : {1, 7, 8, 9, 4096, 5003}) {
    std::vector<uint8_t> codes(static_cast<size_t>(size), 0x7e);
    EXPECT_EQ(find_e4m3_nan(codes.data(), size), -1);
    for (int64_t at : {int64_t{0}, size / 2, size - 1}) {
      codes[static_cast<size_t>(at)] = at % 2 == 0 ? 0x7f : 0xff;
      EXPECT_EQ(find_e4m3_nan(codes.data(), size), at) << size;
      codes[static_cast<size_t>(at)] = 0xfe;
    }
  }
}

TEST(Weights, EveryReferenceFolderLoads) {
  const fs::path root = fs::path(FATHOM_SHARED) / "reference" / "models";
  if (!fs::is_directory(root)) GTEST_SKIP() << "the full reference set is not in " << root;
  int count = 0;
  for (const auto& entry : fs::directory_iterator(root)) {
    if (!entry.is_directory()) continue;
    const auto config = parse_model_config(get_file(entry.path() / "config.json"), "config.json");
    ASSERT_TRUE(config.ok()) << config.error().message;
    const auto weights = load(*config, entry.path().string());
    ASSERT_TRUE(weights.ok()) << entry.path() << ": " << weights.error().message;
    EXPECT_TRUE(weights->notes.empty());
    ++count;
  }
  EXPECT_GE(count, 10);
}

}  // namespace
}  // namespace fathom
