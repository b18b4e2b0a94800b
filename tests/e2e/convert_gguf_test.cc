// Goal: convert writes GGUF files that are the model, whole or in parts, and brings them back;
// what it cannot do it says. Method: a tiny published model there and back, compared by what
// `score` says and tensor by tensor.
#include <gtest/gtest.h>

#include "io/gguf_parts.h"
#include "tests/support/converted.h"

namespace fathom {
namespace {

using test::fail;
using test::succeed;
using testing_support::get_file;
using testing_support::put_file;
using testing_support::TempFolder;

const std::string kPublished = FATHOM_TESTDATA "/gguf/published";
const std::string kTokenized = FATHOM_TESTDATA "/gguf/bf16.gguf";

std::string score(const std::string& model) {
  const test::RunResult result =
      test::run_fathom({"score", "--quiet", "--model", model, "--activations", "full"},
                       {.input = "{\"ids\":[1,2,3,200,100,7,5,250,240,11,13,17]}\n"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return result.out;
}

TEST(ConvertGguf, ThereAndBack) {
  const TempFolder folder;
  const std::string expected = score(kPublished);
  EXPECT_NE(succeed({"convert", kPublished, folder / "m.gguf"}).find("has no tokenizer"),
            std::string::npos);
  EXPECT_EQ(score(folder / "m.gguf"), expected);
  succeed({"convert", folder / "m.gguf", folder / "back"});
  EXPECT_EQ(score(folder / "back"), expected);
  // kv_b_proj and the experts are what they were; the router is F32 now.
  const auto before = test::load(kPublished), after = test::load(folder / "back");
  ASSERT_EQ(after.size(), before.size());
  for (const auto& [name, tensor] : before) {
    if (name.ends_with("mlp.gate.weight")) continue;
    EXPECT_TRUE(after.at(name) == tensor) << name;
  }
}

TEST(ConvertGguf, AFolderMayEndLikeAFile) {
  const TempFolder folder;
  std::filesystem::copy(kPublished, folder / "published.gguf");
  EXPECT_EQ(score(folder / "published.gguf"), score(kPublished));
}

TEST(ConvertGguf, InParts) {
  const TempFolder folder;
  const std::string said =
      succeed({"convert", kPublished, folder / "m.gguf", "--shard-size", "30KB", "--verify"});
  EXPECT_NE(said.find("5 files, "), std::string::npos) << said;
  EXPECT_NE(said.find("checksums verified"), std::string::npos) << said;
  const auto parts = open_gguf(folder / "m-00001-of-00005.gguf");
  ASSERT_TRUE(parts.ok()) << parts.error().message;
  EXPECT_EQ(parts->shards.size(), 5u);
  EXPECT_EQ(score(folder / "m-00001-of-00005.gguf"), score(kPublished));
}

TEST(ConvertGguf, TokenizerGoesThereAndBack) {
  const TempFolder folder;
  const std::string text = "hell, he said:\n  12345 Wörter </s> und mehr";
  const auto ids = [&](const std::string& model) {
    const test::RunResult result =
        test::run_fathom({"tokenize", "--add-special", "--model", model}, {.input = text});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out;
  };
  succeed({"convert", kTokenized, folder / "folder"});
  EXPECT_EQ(ids(folder / "folder"), ids(kTokenized));
  succeed({"convert", folder / "folder", folder / "m.gguf"});
  EXPECT_EQ(ids(folder / "m.gguf"), ids(kTokenized));
  EXPECT_EQ(score(folder / "m.gguf"), score(kTokenized));
}

TEST(ConvertGguf, Quantised) {
  const TempFolder folder;
  for (const char* type : {"f32", "f16", "bf16", "q8_0", "q4_0", "q4_k"}) {
    const std::string path = folder / str_cat(type, ".gguf");
    succeed({"convert", kPublished, path, "--quantize", type, "--quiet"});
    const auto parts = open_gguf(path);
    ASSERT_TRUE(parts.ok()) << parts.error().message;
    for (const CheckpointTensor& entry : parts->tensors) {
      const Dtype dtype = entry.tensor.dtype;
      if (entry.tensor.shape.size() == 1 || entry.name.ends_with("ffn_gate_inp.weight")) {
        EXPECT_EQ(dtype, Dtype::kF32) << entry.name;
      } else if (entry.name == "blk.1.ffn_up_exps.weight") {
        // No row has 256 columns, so that Q4_K falls back.
        const std::string expected = std::string_view(type) == "q4_k" ? "q8_0" : type;
        std::string name(dtype_name(dtype));
        std::transform(name.begin(), name.end(), name.begin(), ::tolower);
        EXPECT_EQ(name, expected);
      }
    }
    EXPECT_FALSE(score(path).empty());
  }
  EXPECT_EQ(score(folder / "bf16.gguf"), score(kPublished));
}

// Rotation in halves becomes rotation in pairs: the same numbers, added in another order.
TEST(ConvertGguf, RotatedHalves) {
  const std::string reference = test::kReferenceModels + "v3-tied";
  if (!std::filesystem::exists(reference)) GTEST_SKIP() << "no full reference set here";
  const TempFolder folder;
  succeed({"convert", reference, folder / "m.gguf", "--quiet"});
  const auto nll = [](const std::string& out) { return parse_json(out)->find("nll")->as_double(); };
  EXPECT_NEAR(nll(score(folder / "m.gguf")), nll(score(reference)), 1e-3);
}

TEST(ConvertGguf, Inspected) {
  const test::RunResult result =
      test::run_fathom({"inspect", FATHOM_TESTDATA "/gguf/q8_0.gguf", "--tensors"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  for (const char* expected : {"DeepSeek-V3, from ", "YaRN 4 over 32", "Q8_0",
                               "model.layers.1.mlp.experts.3.up_proj.weight"})
    EXPECT_NE(result.out.find(expected), std::string::npos) << expected << result.out;
}

TEST(ConvertGguf, WhatIsRefused) {
  const TempFolder folder;
  const std::string out = folder / "m.gguf";
  EXPECT_NE(fail({"convert", kPublished, out, "--quantize", "q2_k"}, 2)
                .find("'q2_k', expected for a GGUF file one of f32, f16"),
            std::string::npos);
  EXPECT_NE(fail({"convert", kPublished, folder / "m", "--to", "gguf"}, 2).find("ends with .gguf"),
            std::string::npos);
  EXPECT_NE(fail({"convert", kPublished, out, "--model-parallel", "2"}, 2).find("no meaning"),
            std::string::npos);
  // Its own input is never written to, by whatever name.
  std::filesystem::copy(kTokenized, folder / "in.gguf");
  std::filesystem::create_symlink(folder / "in.gguf", folder / "link.gguf");
  for (const char* same : {"in.gguf", "link.gguf"}) {
    const std::string said =
        fail({"convert", folder / "in.gguf", folder / same, "--force", "--quiet"});
    EXPECT_NE(said.find("is the input file"), std::string::npos) << said;
  }
  EXPECT_EQ(get_file(folder / "in.gguf"), get_file(kTokenized));
  put_file(out, "something");
  EXPECT_NE(fail({"convert", kPublished, out, "--quiet"}).find("exists"), std::string::npos);
  EXPECT_EQ(get_file(out), "something");
  EXPECT_NE(fail({"convert", out, folder / "folder"}).find("does not begin with \"GGUF\""),
            std::string::npos);
  EXPECT_NE(fail({"score", "--model", folder / "absent.gguf"}).find("absent.gguf"),
            std::string::npos);
}

}  // namespace
}  // namespace fathom
