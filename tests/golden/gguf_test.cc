// Goal: files of another program mean what that program says. Method: files that the PyPI package
// gguf wrote (testdata/gguf) against the same model in the published form, and against the values
// that package gives for blocks of every type.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "io/gguf_parts.h"
#include "kernels/linear.h"
#include "model/gguf_checkpoint.h"
#include "model/gguf_config.h"
#include "model/open_model.h"
#include "model/tensor_values.h"
#include "model/weights.h"
#include "tensor/buffer.h"
#include "tests/support/subprocess.h"
#include "tests/support/temp_folder.h"
#include "tokenizer/load_tokenizer.h"

namespace fathom {
namespace {

const std::string kFolder = FATHOM_TESTDATA "/gguf/";

OpenedModel open(const std::string& name) {
  auto model = open_model(kFolder + name);
  EXPECT_TRUE(model.ok()) << model.error().message;
  return std::move(model).value();
}

// The value at i of a row; any type.
std::vector<float> row_of(const Tensor& tensor, int64_t row) {
  const int64_t k = tensor.shape.back();
  const LinearWeight weight = {
      .dtype = tensor.dtype, .n = tensor.elements() / k, .k = k, .data = tensor.data};
  std::vector<float> out(static_cast<size_t>(k));
  weight_row(Isa::kRef, weight, row, out.data());
  return out;
}

TEST(GoldenGguf, BlocksHaveTheValuesOfTheirWriter) {
  const auto parts = open_gguf(kFolder + "blocks.gguf");
  ASSERT_TRUE(parts.ok()) << parts.error().message;
  const std::string bytes = testing_support::get_file(kFolder + "blocks.safetensors");
  const auto expected = parse_safetensors(std::as_bytes(std::span(bytes)), "blocks.safetensors");
  ASSERT_TRUE(expected.ok());
  ASSERT_EQ(parts->tensors.size(), 5u);
  for (const CheckpointTensor& entry : parts->tensors) {
    const auto found = std::find_if(expected->tensors.begin(), expected->tensors.end(),
                                    [&](const NamedTensor& t) { return t.name == entry.name; });
    ASSERT_NE(found, expected->tensors.end()) << entry.name;
    ASSERT_EQ(found->tensor.shape, entry.tensor.shape);
    const int64_t k = entry.tensor.shape[1];
    for (int64_t row = 0; row < entry.tensor.shape[0]; ++row) {
      const std::vector<float> values = row_of(entry.tensor, row);
      for (int64_t i = 0; i < k; ++i) {
        const float want = value_at(found->tensor, row * k + i);
        // Two products and a difference, each rounded once on either side; scales up to 0.1 * 63.
        EXPECT_NEAR(values[static_cast<size_t>(i)], want, 1e-5 + 1e-6 * std::fabs(want))
            << entry.name << " " << row << " " << i;
      }
    }
  }
}

TEST(GoldenGguf, TensorsAreThePublishedOnes) {
  const OpenedModel published = open("published");
  for (const char* name : {"bf16.gguf", "q8_0.gguf"}) {
    const OpenedModel model = open(name);
    EXPECT_EQ(model.config.rope_scaling, published.config.rope_scaling) << name;
    EXPECT_EQ(model.config.rms_norm_eps, published.config.rms_norm_eps) << name;
    EXPECT_EQ(model.checkpoint->tensors().size(), published.checkpoint->tensors().size()) << name;
    for (const CheckpointTensor& entry : published.checkpoint->tensors()) {
      const Tensor* tensor = model.checkpoint->find(entry.name);
      ASSERT_NE(tensor, nullptr) << name << " " << entry.name;
      ASSERT_EQ(tensor->shape, entry.tensor.shape) << name << " " << entry.name;
      const int64_t k = tensor->shape.back();
      for (int64_t row = 0; row < tensor->elements() / k; ++row) {
        const std::vector<float> is = row_of(*tensor, row), should = row_of(entry.tensor, row);
        for (int64_t begin = 0; begin < k; begin += 32) {
          // Of 32 values that share a scale, each is at most half a step away, and the scale itself
          // is rounded to F16: 127 * 2^-11 steps.
          float amax = 0;
          for (int64_t i = begin; i < std::min(begin + 32, k); ++i)
            amax = std::max(amax, std::fabs(should[static_cast<size_t>(i)]));
          const float tolerance = tensor->dtype == Dtype::kQ8_0 ? amax / 127 * 0.57f : 0.0f;
          for (int64_t i = begin; i < std::min(begin + 32, k); ++i)
            ASSERT_NEAR(is[static_cast<size_t>(i)], should[static_cast<size_t>(i)], tolerance)
                << name << " " << entry.name << " [" << row << ", " << i << "]";
        }
      }
    }
  }
}

std::vector<double> logprobs(const std::string& path, const std::string& activations) {
  std::string ids;
  for (int i = 0; i < 60; ++i) str_append(ids, i == 0 ? "" : ",", i * 37 % 262);
  const test::RunResult result =
      test::run_fathom({"score", "--quiet", "--model", path, "--activations", activations},
                       {.input = "{\"ids\":[" + ids + "]}\n"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  std::vector<double> out;
  const auto json = parse_json(result.out);
  const Json* list = json.ok() ? json->find("logprobs") : nullptr;
  for (const Json& value : list == nullptr ? Json::Array{} : list->as_array())
    out.push_back(value.is_number() ? value.as_double() : 0);
  EXPECT_EQ(out.size(), 60u);
  return out;
}

TEST(GoldenGguf, LogitsAreThoseOfTheFolder) {
  for (const char* activations : {"full", "bf16"}) {
    EXPECT_EQ(logprobs(kFolder + "bf16.gguf", activations),
              logprobs(kFolder + "published", activations))
        << activations;
  }
  const std::vector<double> expected = logprobs(kFolder + "published", "full");
  for (const char* activations : {"full", "auto"}) {  // auto: INT8
    const std::vector<double> is = logprobs(kFolder + "q8_0.gguf", activations);
    ASSERT_EQ(is.size(), expected.size());
    double mean = 0;
    for (size_t i = 0; i < is.size(); ++i)
      mean += std::fabs(is[i] - expected[i]) / static_cast<double>(is.size());
    EXPECT_LT(mean, 0.1) << activations;
    EXPECT_GT(mean, 0) << activations;
  }
}

// Everything that is made of a file, as open_model() does; whether it is one is not asked.
void make_all(std::span<const std::byte> bytes) {
  auto file = parse_gguf(bytes, "x.gguf");
  if (!file.ok()) {
    EXPECT_FALSE(file.error().message.empty());
    return;
  }
  GgufParts parts;
  parts.metadata = std::move(file->metadata);
  for (NamedTensor& named : file->tensors)
    parts.tensors.push_back({std::move(named.name), std::move(named.tensor), 0});
  parts.shards.push_back({"x.gguf", FileBytes(bytes, nullptr), {}});
  (void)Tokenizer::from_gguf(parts.metadata, "x.gguf").ok();
  (void)gguf_tokenizer_config(parts.metadata);
  auto config = gguf_config(parts, "x.gguf");
  if (!config.ok()) {
    EXPECT_FALSE(config.error().message.empty());
    return;
  }
  auto checkpoint = gguf_checkpoint(config->config, parts, "x.gguf", config->notes);
  if (!checkpoint.ok()) {
    EXPECT_FALSE(checkpoint.error().message.empty());
    return;
  }
  (void)load_weights(config->config, std::make_shared<const Checkpoint>(std::move(*checkpoint)))
      .ok();
}

// Goal: no bytes end the program. Method: the files with a few bytes of their metadata and tensor
// list changed, thousands of times; the sanitizers of other builds watch.
TEST(GoldenGguf, ChangedBytesAreAnErrorOrAModel) {
  uint64_t state = 1;
  const auto next = [&] {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state >> 33;
  };
  for (const char* name : {"bf16.gguf", "q8_0.gguf"}) {
    const std::string good = testing_support::get_file(kFolder + name);
    const size_t head = std::min<size_t>(good.size(), 11000);
    Buffer<std::byte> copy(static_cast<int64_t>(good.size()));  // aligned as a mapped file is
    for (int trial = 0; trial < 1500; ++trial) {
      std::memcpy(copy.data(), good.data(), good.size());
      for (uint64_t n = 1 + next() % 3; n > 0; --n) {
        const size_t at = next() % head;
        copy[static_cast<int64_t>(at)] =
            next() % 2 == 0
                ? static_cast<std::byte>(next() & 0xff)
                : copy[static_cast<int64_t>(at)] ^ static_cast<std::byte>(1 << next() % 8);
      }
      make_all(copy.span());
    }
  }
}

TEST(GoldenGguf, TokenizerAndTemplate) {
  const auto files = open_model_files(kFolder + "bf16.gguf");
  ASSERT_TRUE(files.ok()) << files.error().message;
  const auto tokenizer = load_tokenizer(*files);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  EXPECT_EQ(tokenizer->encode("hell", {.add_special = true}), (std::vector<int32_t>{260, 258}));
  EXPECT_EQ(tokenizer->bos_token(), "<s>");
  const test::RunResult rendered =
      test::run_fathom({"template", "--model", kFolder + "bf16.gguf"},
                       {.input = R"({"messages":[{"role":"user","content":"hi"}]})"
                                 "\n"});
  EXPECT_EQ(rendered.exit_code, 0) << rendered.err;
  EXPECT_NE(rendered.out.find("<s>hi"), std::string::npos) << rendered.out;
  EXPECT_FALSE(has_tokenizer(*open_model_files(kFolder + "q8_0.gguf")));
}

}  // namespace
}  // namespace fathom
