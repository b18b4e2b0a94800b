// Goal: cast changes exactly the bytes it should, by the formulas of spec §3.2-3.4 and §3.7.
// Method: runs the program on checkpoints that the test writes (random weights, dimensions no
// multiple of 128) and on the reference models where they are; the formulas are written out here
// again.
#include <cmath>
#include <cstring>

#include "base/str_cat.h"
#include "io/json.h"
#include "tensor/numeric.h"
#include "tests/support/converted.h"

namespace fathom::test {
namespace {

namespace fs = std::filesystem;
using namespace testing_support;  // NOLINT: a test

template <typename T>
T element(const Loaded& t, int64_t i) {
  T value;
  std::memcpy(&value, t.bytes.data() + static_cast<size_t>(i) * sizeof(T), sizeof(T));
  return value;
}

void expect_dequantised(const LoadedTensors& in, const LoadedTensors& out) {
  int64_t n_quantised = 0;
  for (const auto& [name, before] : in) {
    if (name.ends_with("_scale_inv")) {
      EXPECT_EQ(out.count(name), 0u) << name;
      continue;
    }
    ASSERT_EQ(out.count(name), 1u) << name;
    const Loaded& after = out.at(name);
    if (before.dtype != Dtype::kF8E4M3) {
      EXPECT_EQ(before, after) << name;
      continue;
    }
    ++n_quantised;
    EXPECT_EQ(after.dtype, Dtype::kBF16);
    ASSERT_EQ(after.shape, before.shape);
    const Loaded& scale = in.at(name + "_scale_inv");
    for (int64_t r = 0; r < before.shape[0]; ++r) {
      for (int64_t c = 0; c < before.shape[1]; ++c) {
        const int64_t i = r * before.shape[1] + c;
        const float product = e4m3_to_f32(element<E4M3>(before, i)) *
                              element<float>(scale, r / 128 * scale.shape[1] + c / 128);
        ASSERT_EQ(element<Bf16>(after, i), f32_to_bf16(product))
            << name << " [" << r << ", " << c << "]";
      }
    }
  }
  EXPECT_GT(n_quantised, 10);
}

TEST(Cast, ToBf16IsTheFormulaAndConfigLosesOnlyTheQuantisation) {
  TempFolder in;
  TempFolder temp;
  write_model(in, kFp8Config, Dtype::kBF16);
  const std::string out = temp / "out";
  succeed({"cast", in.path(), out, "--to", "bf16", "--verify"});
  expect_dequantised(load(in.path()), load(out));
  Json expected = *parse_json(get_file(in / "config.json"));
  std::erase_if(expected.as_object(),
                [](const Json::Member& m) { return m.first == "quantization_config"; });
  EXPECT_EQ(parse_json(get_file(out + "/config.json"))->dump(), expected.dump());
  EXPECT_EQ(names_in(out),
            (std::vector<std::string>{"config.json", "model.safetensors", "tokenizer.json"}));
  EXPECT_EQ(get_file(out + "/tokenizer.json"), get_file(in / "tokenizer.json"));
}

TEST(Cast, OfTheReferenceModels) {
  if (!fs::exists(kReferenceModels)) GTEST_SKIP() << kReferenceModels << " is not here";
  for (const char* model : {"v3-fp8", "v3-fp8-ue8m0"}) {
    SCOPED_TRACE(model);
    TempFolder temp;
    succeed(
        {"cast", kReferenceModels + model, temp / "bf16", "--to", "bf16", "--max-memory", "1MiB"});
    const LoadedTensors before = load(kReferenceModels + model);
    expect_dequantised(before, load(temp / "bf16"));
    // And back: with free scales the codes are the same, bit for bit; with powers of two the values
    // are (a block whose largest code is 224 comes back with half the scale and twice the codes).
    const bool ue8m0 = std::string_view(model).ends_with("ue8m0");
    succeed({"cast", temp / "bf16", temp / "fp8", "--to", "fp8", "--scale-fmt",
             ue8m0 ? "ue8m0" : "float"});
    if (ue8m0) {
      succeed({"cast", temp / "fp8", temp / "again", "--to", "bf16"});
      EXPECT_EQ(load(temp / "again"), load(temp / "bf16"));
      continue;
    }
    const LoadedTensors after = load(temp / "fp8");
    ASSERT_EQ(after.size(), before.size());
    for (const auto& [name, tensor] : before) {
      if (!name.ends_with("_scale_inv")) {
        EXPECT_EQ(after.at(name), tensor) << name;
      }
    }
  }
}

TEST(Cast, ToFp8IsTheFormula) {
  std::string config(kFp8Config);
  config.replace(config.find("\"quantization_config\":"), 22, "\"unused\":");
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBF16, Dtype::kF16}) {
    for (const bool ue8m0 : {false, true}) {
      SCOPED_TRACE(str_cat(dtype_name(dtype), ue8m0 ? " ue8m0" : ""));
      TempFolder in;
      TempFolder temp;
      TinyTensors tensors = write_model(in, config, dtype);
      // A block of zeros and one below the clamp.
      TinyTensor& zeros = tensor_named(tensors, "model.layers.0.self_attn.q_a_proj.weight");
      std::fill(zeros.bytes.begin(), zeros.bytes.end(), '\0');
      write_tensors(in / "model.safetensors", tensors);
      succeed({"cast", in.path(), temp / "out", "--to", "fp8", "--scale-fmt",
               ue8m0 ? "ue8m0" : "float"});
      const LoadedTensors before = load(in.path());
      const LoadedTensors after = load(temp / "out");
      const auto value = [&](const Loaded& t, int64_t i) {
        return dtype == Dtype::kF32    ? element<float>(t, i)
               : dtype == Dtype::kBF16 ? bf16_to_f32(element<Bf16>(t, i))
                                       : f16_to_f32(element<F16>(t, i));
      };
      int64_t n = 0;
      for (const auto& [name, q] : after) {
        if (q.dtype != Dtype::kF8E4M3) {
          if (!name.ends_with("_scale_inv")) {
            EXPECT_EQ(q, before.at(name)) << name;
          }
          continue;
        }
        ++n;
        const Loaded& w = before.at(name);
        const Loaded& scale = after.at(name + "_scale_inv");
        ASSERT_EQ(scale.shape,
                  (std::vector<int64_t>{(q.shape[0] + 127) / 128, (q.shape[1] + 127) / 128}));
        std::vector<float> amax(scale.bytes.size() / 4, 1e-4f);
        const int64_t columns = q.shape[1], block_columns = scale.shape[1];
        const auto block = [columns, block_columns](int64_t i) {
          return static_cast<size_t>(i / columns / 128 * block_columns + i % columns / 128);
        };
        const auto size = static_cast<int64_t>(q.bytes.size());
        for (int64_t i = 0; i < size; ++i)
          amax[block(i)] = std::max(amax[block(i)], std::fabs(value(w, i)));
        for (size_t b = 0; b < amax.size(); ++b) {
          const float s =
              ue8m0 ? std::exp2(std::ceil(std::log2(amax[b] / 448.0f))) : amax[b] / 448.0f;
          EXPECT_EQ(element<float>(scale, static_cast<int64_t>(b)), s) << name;
        }
        for (int64_t i = 0; i < size; ++i) {
          const float s = element<float>(scale, static_cast<int64_t>(block(i)));
          ASSERT_EQ(element<E4M3>(q, i), f32_to_e4m3(value(w, i) / s)) << name << " " << i;
        }
      }
      EXPECT_EQ(n, 3 * 5 + 3 + 2 * (4 * 3 + 3)) << "q_a, q_b, kv_a, kv_b, o and MLPs of each layer";
      const Json config_out = *parse_json(get_file(temp / "out/config.json"));
      EXPECT_EQ(config_out.find("quantization_config")->find("scale_fmt") != nullptr, ue8m0);
      EXPECT_EQ(run_fathom({"inspect", temp / "out"}).exit_code, 0);
    }
  }
}

TEST(Cast, DamagedWeightsAreNamed) {
  TempFolder in;
  TempFolder temp;
  TinyTensors tensors = write_model(in, kFp8Config, Dtype::kBF16);
  EXPECT_NE(fail({"cast", in.path(), temp / "out", "--to", "fp8"}).find("FP8 already"),
            std::string::npos);
  const std::string name = "model.layers.1.mlp.experts.2.up_proj.weight";
  tensor_named(tensors, name).bytes[77] = 0x7f;
  write_tensors(in / "model.safetensors", tensors);
  EXPECT_NE(fail({"cast", in.path(), temp / "out", "--to", "bf16"}).find(name), std::string::npos);
  tensor_named(tensors, name).bytes[77] = 0;
  TinyTensor& scale = tensor_named(tensors, name + "_scale_inv");
  const float nan = std::nanf("");
  std::memcpy(scale.bytes.data(), &nan, 4);
  write_tensors(in / "model.safetensors", tensors);
  EXPECT_NE(fail({"cast", in.path(), temp / "out", "--to", "bf16"}).find(name + "_scale_inv"),
            std::string::npos);

  std::string config(kFp8Config);
  config.replace(config.find("\"quantization_config\":"), 22, "\"unused\":");
  tensors = write_model(in, config, Dtype::kF32);
  const float infinity = INFINITY;
  std::memcpy(tensor_named(tensors, name).bytes.data(), &infinity, 4);
  write_tensors(in / "model.safetensors", tensors);
  const std::string err = fail({"cast", in.path(), temp / "inf", "--to", "fp8"});
  EXPECT_NE(err.find(name), std::string::npos) << err;
  expect_whole_files_only(temp / "inf");
}

}  // namespace
}  // namespace fathom::test
