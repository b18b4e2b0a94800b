// Goal: a model whose experts are read from disk gives the bytes of one that is in memory, however
// few of them fit; and a file that cannot be read any more fails the request, not the program.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "engine/loaded_model.h"
#include "engine/scorer.h"
#include "tests/support/models.h"
#include "tests/support/temp_folder.h"

namespace fathom {
namespace {

std::unique_ptr<LoadedModel> open(const std::string& folder, std::optional<int64_t> expert_slots,
                                  int64_t prefill_rows, int64_t max_running = 1) {
  auto model = load_model({.path = folder,
                           .n_threads = 2,
                           .isa = "auto",
                           .activations = "auto",
                           .kv_dtype = "auto",
                           .attention = "auto",
                           .context = 256,
                           .max_memory = {},
                           .expert_slots = expert_slots,
                           .max_running = max_running,
                           .prefill_rows = prefill_rows,
                           .needs_tokenizer = false});
  EXPECT_TRUE(model.ok()) << model.error().message;
  return std::move(model).value();
}

std::vector<int32_t> some_ids(int64_t n, uint32_t seed) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < n; ++i) {
    seed = seed * 1664525u + 1013904223u;
    ids.push_back(static_cast<int32_t>((seed >> 16) % 250));
  }
  return ids;
}

struct Generated final : public EventSink {
  void on_token(const TokenEvent& event) override {
    if (event.token >= 0) tokens.push_back(event.token);
    logprobs.push_back(event.logprob);
    finish = event.finish;
    error = event.error;
  }
  std::vector<int32_t> tokens;
  std::vector<float> logprobs;
  FinishReason finish = FinishReason::kNone;
  std::string error;
};

GenerateRequest request(int64_t n_prompt, uint32_t seed) {
  GenerateRequest out;
  out.prompt = some_ids(n_prompt, seed);
  out.max_tokens = 12;
  out.ignore_eos = true;
  out.logprobs = 0;
  out.sampling.temperature = 0.8;
  out.sampling.seed = seed;
  return out;
}

struct Results {
  Score score;
  std::vector<Generated> answers;
};
Results run(LoadedModel& model) {
  Results out;
  Scorer scorer(*model.transformer, *model.kv,
                {.attention = model.attention,
                 .context = model.context,
                 .chunk = model.prefill_rows,
                 .keep_logits = true,
                 .keep_trace = false});
  auto score = scorer.score(some_ids(100, 1));
  EXPECT_TRUE(score.ok());
  out.score = std::move(score).value();
  out.answers.resize(3);
  const auto engine = model.make_engine();
  for (size_t i = 0; i < out.answers.size(); ++i) {
    const auto id = engine->submit(request(20 + 30 * static_cast<int64_t>(i), 7), out.answers[i]);
    EXPECT_TRUE(id.ok());
  }
  while (!engine->idle()) engine->step();
  return out;
}

template <typename T>
bool same_bytes(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

class Streaming : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, Streaming,
                         ::testing::Values("v3-fp8", "v3-bf16", "v2-group", "v3-mtp"),
                         [](const auto& test) {
                           std::string name = test.param;
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

TEST_P(Streaming, HoweverFewExpertsFitIsInvisible) {
  const std::string folder = testing::reference_model_folder(GetParam());
  const Results whole = run(*open(folder, {}, 64));
  // One slot: every expert alone. Then fewer than a token needs, fewer than a pass, and all.
  for (const int64_t n_slots : {1, 2, 5, 9, 100}) {
    const auto model = open(folder, n_slots, n_slots == 5 ? 7 : 64, 3);
    ASSERT_NE(model->streamed, nullptr);
    const ExpertCache& experts = model->streamed->experts();
    EXPECT_EQ(experts.n_slots(), std::min(n_slots, experts.n_experts()));
    const Results streamed = run(*model);
    EXPECT_TRUE(same_bytes(whole.score.logits, streamed.score.logits)) << n_slots << " slots";
    EXPECT_TRUE(same_bytes(whole.score.mtp_logits, streamed.score.mtp_logits));
    for (size_t i = 0; i < whole.answers.size(); ++i) {
      EXPECT_EQ(whole.answers[i].tokens, streamed.answers[i].tokens) << n_slots << " slots";
      EXPECT_TRUE(same_bytes(whole.answers[i].logprobs, streamed.answers[i].logprobs));
    }
    const ExpertCacheStats stats = experts.stats();
    EXPECT_GT(stats.bytes_read, 0);
    if (n_slots == 100) {  // each was read once
      EXPECT_LE(stats.n_used - stats.n_found, experts.n_experts());
    }
  }
}

TEST(StreamingFaults, AFileThatBecameShorterFailsTheRequestAndNothingElse) {
  namespace fs = std::filesystem;
  const testing_support::TempFolder folder;
  const std::string copy = folder / "model";
  fs::copy(testing::reference_model_folder("v3-bf16"), copy);
  const std::string file = copy + "/model.safetensors";
  const auto model = open(copy, 2, 64, 2);
  const auto engine = model->make_engine();
  Generated before, lost, beside, after;
  ASSERT_TRUE(engine->submit(request(30, 3), before).ok());
  while (!engine->idle()) engine->step();
  EXPECT_EQ(before.finish, FinishReason::kLength);

  const std::string bytes = testing_support::get_file(file);
  const uintmax_t size = fs::file_size(file);
  ASSERT_TRUE(engine->submit(request(40, 4), lost).ok());
  ASSERT_TRUE(engine->submit(request(50, 5), beside).ok());
  engine->step();
  fs::resize_file(file, 1 << 18);  // the embedding, which is first, stays
  while (!engine->idle()) engine->step();
  for (const Generated* one : {&lost, &beside}) {
    EXPECT_EQ(one->finish, FinishReason::kFailed);
    EXPECT_NE(one->error.find("model.safetensors"), std::string::npos) << one->error;
    EXPECT_NE(one->error.find("became shorter"), std::string::npos) << one->error;
  }

  testing_support::put_file(file, bytes);
  ASSERT_EQ(fs::file_size(file), size);
  ASSERT_TRUE(engine->submit(request(30, 3), after).ok());
  while (!engine->idle()) engine->step();
  EXPECT_EQ(after.finish, FinishReason::kLength);
  EXPECT_EQ(after.tokens, before.tokens);
  EXPECT_TRUE(same_bytes(after.logprobs, before.logprobs));
}

}  // namespace
}  // namespace fathom
