// Goal: the model computes what the reference implementations compute, on every kind of checkpoint
// of the family. Method: score the reference's ids under its stated arithmetic and compare logits,
// hidden states, router choices and greedy continuations with what stands in reference.safetensors
// (testdata/models/README.md says how it was made).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "engine/loaded_model.h"
#include "engine/scorer.h"
#include "io/files.h"
#include "io/json.h"
#include "io/mapped_file.h"
#include "io/safetensors.h"
#include "tests/support/models.h"

namespace fathom {
namespace {

using testing::base_name;
using testing::reference_model_folders;

// reference.safetensors and reference.json of a folder.
class Reference {
 public:
  explicit Reference(const std::string& folder) {
    const std::string path = folder + "/reference.safetensors";
    auto file = MappedFile::open(path);
    EXPECT_TRUE(file.ok()) << path;
    file_ = std::make_unique<MappedFile>(std::move(file).value());
    auto parsed = parse_safetensors(file_->bytes(), path);
    EXPECT_TRUE(parsed.ok()) << path;
    tensors_ = std::move(parsed).value();
    auto text = read_file(folder + "/reference.json");
    EXPECT_TRUE(text.ok());
    json = parse_json(text.value()).value();
  }
  const Tensor* find(const std::string& name) const {
    for (const auto& tensor : tensors_.tensors) {
      if (tensor.name == name) return &tensor.tensor;
    }
    return nullptr;
  }
  std::vector<int32_t> ids(const std::string& name, int64_t row) const {
    const Tensor& tensor = *find(name);
    const int64_t n = tensor.shape[1];
    std::vector<int32_t> out;
    for (int64_t i = 0; i < n; ++i)
      out.push_back(static_cast<int32_t>(tensor.as<int64_t>()[row * n + i]));
    return out;
  }
  Json json;

 private:
  std::unique_ptr<MappedFile> file_;
  SafetensorsFile tensors_;
};

std::unique_ptr<LoadedModel> open(const std::string& folder, const std::string& isa,
                                  const std::string& activations,
                                  const std::string& attention = "auto") {
  auto model = load_model({.path = folder,
                           .n_threads = 2,
                           .isa = isa,
                           .activations = activations,
                           .kv_dtype = "f32",
                           .attention = attention,
                           .context = {},
                           .max_memory = {},
                           .max_running = 2,
                           .prefill_rows = 512,
                           .needs_tokenizer = false});
  EXPECT_TRUE(model.ok()) << model.error().message;
  return std::move(model).value();
}

Score score(LoadedModel& model, const std::vector<int32_t>& ids, bool trace = false) {
  Scorer scorer(*model.transformer, *model.kv,
                {.attention = model.attention,
                 .context = model.context,
                 .chunk = 512,
                 .keep_logits = true,
                 .keep_trace = trace});
  auto result = scorer.score(ids);
  EXPECT_TRUE(result.ok()) << result.error().message;
  return std::move(result).value();
}

float largest(const float* values, int64_t n) {
  float out = 0;
  for (int64_t i = 0; i < n; ++i) out = std::max(out, std::fabs(values[i]));
  return out;
}

// Of each row of `got` against `want`, the largest difference relative to `scale`.
std::vector<double> row_differences(const float* got, const float* want, int64_t rows,
                                    int64_t width, double scale) {
  std::vector<double> out;
  for (int64_t row = 0; row < rows; ++row) {
    double worst = 0;
    for (int64_t i = 0; i < width; ++i) {
      worst = std::max(
          worst, std::fabs(double{got[row * width + i]} - double{want[row * width + i]}) / scale);
    }
    out.push_back(worst);
  }
  return out;
}

double share_within(const std::vector<double>& differences, double tolerance) {
  const auto n = std::count_if(differences.begin(), differences.end(),
                               [&](double d) { return d <= tolerance; });
  return static_cast<double>(n) / static_cast<double>(differences.size());
}

struct Case {
  std::string folder;
  std::string isa;
};
// The folders that have the tensor, on each instruction set of this machine.
std::vector<Case> cases_with(const std::string& tensor) {
  std::vector<Case> out;
  for (const auto& folder : reference_model_folders()) {
    if (Reference(folder).find(tensor) == nullptr) continue;
    for (const Isa isa : available_isas()) out.push_back({folder, std::string(isa_name(isa))});
  }
  return out;
}
std::string case_name(const ::testing::TestParamInfo<Case>& info) {
  std::string name = base_name(info.param.folder) + "_" + info.param.isa;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

class ReferenceModel : public ::testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(All, ReferenceModel, ::testing::ValuesIn(cases_with("logits")), case_name);
class TracedModel : public ::testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(All, TracedModel, ::testing::ValuesIn(cases_with("hidden.0")), case_name);
class Fp8Model : public ::testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(All, Fp8Model, ::testing::ValuesIn(cases_with("linear.x")), case_name);

TEST_P(ReferenceModel, LogitsAgree) {
  const Reference reference(GetParam().folder);
  for (const Json& compare : reference.json.find("compare")->as_array()) {
    const std::string name = compare.find("tensor")->as_string();
    const std::string ids_name =
        compare.find("ids") != nullptr ? compare.find("ids")->as_string() : "input_ids";
    const double tolerance = compare.find("tolerance")->as_double();
    const Json* share = compare.find("share_of_tokens");
    const Tensor& want = *reference.find(name);
    const Tensor* at = reference.find("logits_at");
    const int64_t rows = want.shape[1], width = want.shape[2];
    const float scale = largest(want.as<float>(), want.elements());
    for (const char* attention : {"naive", "absorbed"}) {
      const auto model = open(GetParam().folder, GetParam().isa,
                              compare.find("activations")->as_string(), attention);
      std::vector<double> differences;
      for (int64_t row = 0; row < want.shape[0]; ++row) {
        const Score result = score(*model, reference.ids(ids_name, row));
        const std::vector<float>& all = name == "mtp_logits" ? result.mtp_logits : result.logits;
        std::vector<float> got;
        for (int64_t t = 0; t < rows; ++t) {
          const int64_t from = at != nullptr ? at->as<int64_t>()[t] : t;
          got.insert(got.end(), all.begin() + from * width, all.begin() + (from + 1) * width);
        }
        const auto d =
            row_differences(got.data(), want.as<float>() + row * rows * width, rows, width, scale);
        differences.insert(differences.end(), d.begin(), d.end());
      }
      EXPECT_GE(share_within(differences, tolerance), share == nullptr ? 1.0 : share->as_double())
          << name << ' ' << attention << ": worst "
          << *std::max_element(differences.begin(), differences.end());
    }
  }
}

TEST_P(TracedModel, HiddenStatesAndRouterChoicesAgree) {
  const Reference reference(GetParam().folder);
  const auto model = open(GetParam().folder, GetParam().isa, "full");
  const Score result = score(*model, reference.ids("input_ids", 0), /*trace=*/true);
  for (size_t layer = 0; layer < result.hidden.size(); ++layer) {
    const Tensor& want = *reference.find("hidden." + std::to_string(layer));
    const auto d = row_differences(result.hidden[layer].data(), want.as<float>(), want.shape[0],
                                   want.shape[1], largest(want.as<float>(), want.elements()));
    EXPECT_LE(*std::max_element(d.begin(), d.end()), 2e-5) << "layer " << layer;
  }
  ASSERT_FALSE(result.routers.empty());
  for (const RouterTrace& router : result.routers) {
    const std::string prefix = "router." + std::to_string(router.layer);
    const Tensor& indices = *reference.find(prefix + ".indices");
    const Tensor& weights = *reference.find(prefix + ".weights");
    for (int64_t i = 0; i < indices.elements(); ++i) {
      ASSERT_EQ(router.indices[static_cast<size_t>(i)], indices.as<int64_t>()[i])
          << prefix << ' ' << i;
      ASSERT_NEAR(router.weights[static_cast<size_t>(i)], weights.as<float>()[i],
                  1e-4 * std::fabs(weights.as<float>()[i]));
    }
  }
}

class Collect final : public EventSink {
 public:
  void on_token(const TokenEvent& event) override { tokens.push_back(event.token); }
  std::vector<int32_t> tokens;
};

TEST_P(ReferenceModel, GreedyContinuationsAgree) {
  const Reference reference(GetParam().folder);
  const int64_t n_prompt = reference.json.find("greedy_prompt_tokens")->as_int();
  const Tensor& want = *reference.find("greedy");
  const auto model = open(GetParam().folder, GetParam().isa, "full");
  const auto engine = model->make_engine();
  std::vector<Collect> sinks(static_cast<size_t>(want.shape[0]));
  for (int64_t row = 0; row < want.shape[0]; ++row) {
    GenerateRequest request;
    request.prompt = reference.ids("input_ids", row);
    request.prompt.resize(static_cast<size_t>(n_prompt));
    request.max_tokens = want.shape[1];
    request.sampling.temperature = 0;
    request.ignore_eos = true;
    ASSERT_TRUE(engine->submit(request, sinks[static_cast<size_t>(row)]).ok());
  }
  while (!engine->idle()) engine->step();
  for (int64_t row = 0; row < want.shape[0]; ++row) {
    EXPECT_EQ(sinks[static_cast<size_t>(row)].tokens, reference.ids("greedy", row))
        << "sequence " << row;
  }
}

TEST_P(Fp8Model, LinearLayerAgrees) {
  const Reference reference(GetParam().folder);
  const Tensor* x = reference.find("linear.x");
  const Tensor& want = *reference.find("linear.y");
  const auto model = open(GetParam().folder, GetParam().isa, "fp8");
  const LinearWeight& weight = model->weights.layers[0].mlp.gate_proj;
  LinearInput input(x->shape[0], x->shape[1]);
  input.prepare(model->transformer->compute(), x->as<float>(), x->shape[1], x->shape[0],
                x->shape[1], input_format(model->activations, weight.dtype));
  std::vector<float> y(static_cast<size_t>(want.elements()));
  linear(model->transformer->compute(), input, weight, y.data(), want.shape[1]);
  for (int64_t row = 0; row < want.shape[0]; ++row) {
    const float* expected = want.as<float>() + row * want.shape[1];
    const double scale = std::max(largest(expected, want.shape[1]), 1e-30f);
    const auto d =
        row_differences(y.data() + row * want.shape[1], expected, 1, want.shape[1], scale);
    EXPECT_LE(d[0], 1e-5) << "row " << row;
  }
}

}  // namespace
}  // namespace fathom
