// Goal: a trained model of another program's writes its greedy text and has its perplexity. Method:
// the reference model that stands beside the clone; testdata/default, computed in float64 by
// another implementation (--activations full --kv-dtype f32).
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "engine/loaded_model.h"
#include "engine/prompt.h"
#include "engine/scorer.h"
#include "io/files.h"
#include "io/json.h"

namespace fathom {
namespace {

std::vector<Json> json_lines(const std::string& path) {
  const auto text = read_file(path);
  EXPECT_TRUE(text.ok()) << path;
  std::vector<Json> out;
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) out.push_back(parse_json(line).value());
  return out;
}

std::vector<int32_t> ids_of(const Json& json, const char* field) {
  std::vector<int32_t> out;
  for (const Json& id : json.find(field)->as_array())
    out.push_back(static_cast<int32_t>(id.as_int()));
  return out;
}

const std::string kFolder = FATHOM_SHARED "/models/reference";

std::unique_ptr<LoadedModel> reference_model() {
  auto model = load_model({.path = kFolder,
                           .n_threads = 2,
                           .isa = "auto",
                           .activations = "full",
                           .kv_dtype = "f32",
                           .attention = "auto",
                           .context = {},
                           .max_memory = {},
                           .max_running = 8,
                           .prefill_rows = 256,
                           .needs_tokenizer = true});
  EXPECT_TRUE(model.ok()) << model.error().message;
  return std::move(model).value();
}

class Collect final : public EventSink {
 public:
  void on_token(const TokenEvent& event) override {
    tokens.push_back(event.token);
    text += event.text;
  }
  std::vector<int32_t> tokens;
  std::string text;
};

TEST(ReferenceModel, GreedyTextIsTheReferences) {
  if (!std::filesystem::exists(kFolder)) GTEST_SKIP() << kFolder << " is not there";
  const auto model = reference_model();
  const auto lines = json_lines(FATHOM_TESTDATA "/default/reference.jsonl");
  ASSERT_EQ(lines.size(), 20u);
  const auto engine = model->make_engine();
  PromptBuilder prompts(model->files, *model->tokenizer);
  std::vector<Collect> sinks(lines.size());
  for (size_t i = 0; i < lines.size(); ++i) {
    GenerateRequest request;
    request.prompt = ids_of(lines[i], "prompt_ids");
    request.max_tokens = 64;
    request.sampling.temperature = 0;
    request.ignore_eos = true;
    ASSERT_TRUE(engine->submit(request, sinks[i]).ok());
    if (lines[i].find("kind")->as_string() == "story") {
      EXPECT_EQ(prompts.from_text(lines[i].find("prompt")->as_string()), request.prompt) << i;
    }
  }
  while (!engine->idle()) engine->step();
  for (size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(sinks[i].tokens, ids_of(lines[i], "output_ids")) << i;
    EXPECT_EQ(sinks[i].text, lines[i].find("text")->as_string()) << i;
  }
}

TEST(ReferenceModel, PerplexityIsTheReferences) {
  if (!std::filesystem::exists(kFolder)) GTEST_SKIP() << kFolder << " is not there";
  const auto model = reference_model();
  Scorer scorer(*model->transformer, *model->kv,
                {.attention = AttentionForm::kAuto, .context = model->context, .chunk = 256});
  double nll = 0;
  int64_t n = 0;
  for (const Json& line : json_lines(FATHOM_TESTDATA "/default/perplexity.jsonl")) {
    const auto ids = ids_of(line, "ids");
    const auto score = scorer.score(ids);
    ASSERT_TRUE(score.ok());
    EXPECT_NEAR(score->nll, line.find("nll")->as_double(), 1e-5 * line.find("nll")->as_double());
    nll += score->nll;
    n += static_cast<int64_t>(ids.size()) - 1;
  }
  EXPECT_EQ(n, 6377);
  EXPECT_NEAR(std::exp(nll / static_cast<double>(n)), 66.676, 0.001);
}

}  // namespace
}  // namespace fathom
