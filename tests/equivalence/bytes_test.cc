// Goal: a request's bytes do not depend on how the work is cut (docs/numerics.md): prompt at once,
// in pieces, token by token; 1, 2, 3 threads; alone, or in a batch whose neighbours come and go.
// Method: the same tokens, compared bit by bit, for every weight format that is there, every
// --activations, --kv-dtype and attention form, on every instruction set.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "engine/loaded_model.h"
#include "engine/scorer.h"
#include "model/convert_packed.h"
#include "model/convert_shards.h"
#include "tests/support/models.h"
#include "tests/support/temp_folder.h"

namespace fathom {
namespace {

using testing::reference_model_folder;

// Made here of v3-fp8: routed experts INT4, everything else INT8.
constexpr const char* kPacked = "v3-packed";

std::string packed_folder() {
  static const testing_support::TempFolder temp;
  static const std::string folder = [] {
    const auto files = ModelFiles::open_folder(reference_model_folder("v3-fp8"));
    const auto config_json = files->open_small("config.json", kSmallFileBytesMax);
    const auto config = parse_model_config(config_json->text(), "config.json");
    auto checkpoint = std::make_shared<const Checkpoint>(*Checkpoint::open(*files));
    const auto plan = plan_pack(*config, checkpoint, packed_formats(Dtype::kInt4, /*mix=*/true),
                                kDefaultShardBytes);
    EXPECT_TRUE(plan.ok());
    const auto done = run_conversion(*plan, *files, temp / "packed", {.go_on = nullptr});
    EXPECT_TRUE(done.ok()) << (done.ok() ? "" : done.error().message);
    return temp / "packed";
  }();
  return folder;
}

struct Setting {
  std::string model;
  std::string isa;
  std::string activations;
  std::string kv_dtype;
  std::string attention;
};

std::vector<Setting> settings() {
  std::vector<Setting> out;
  for (const Isa isa : available_isas()) {
    const std::string name(isa_name(isa));
    for (const char* attention : {"naive", "absorbed"}) {
      out.push_back({"v3-fp8", name, "fp8", "bf16", attention});
      out.push_back({"v3-fp8", name, "fp8", "fp8", attention});
      out.push_back({"v3-fp8", name, "bf16", "bf16", attention});
      out.push_back({"v3-fp8", name, "full", "f32", attention});
      out.push_back({"v3-bf16", name, "bf16", "bf16", attention});
      out.push_back({"v3-bf16", name, "full", "f32", attention});
      out.push_back({"v2-group", name, "full", "f32", attention});
      out.push_back({"v3-mtp", name, "bf16", "fp8", attention});
      out.push_back({kPacked, name, "int8", "bf16", attention});
    }
  }
  return out;
}

std::string setting_name(const ::testing::TestParamInfo<Setting>& info) {
  const Setting& s = info.param;
  std::string name =
      s.model + "_" + s.isa + "_" + s.activations + "_" + s.kv_dtype + "_" + s.attention;
  for (char& c : name) c = c == '-' ? '_' : c;
  return name;
}

std::unique_ptr<LoadedModel> open(const Setting& setting, int n_threads, int64_t prefill_rows,
                                  int64_t max_running = 1) {
  auto model = load_model(
      {.path = setting.model == kPacked ? packed_folder() : reference_model_folder(setting.model),
       .n_threads = n_threads,
       .isa = setting.isa,
       .activations = setting.activations,
       .kv_dtype = setting.kv_dtype,
       .attention = setting.attention,
       .context = 256,
       .max_memory = {},
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

Score score(const Setting& setting, int n_threads, int64_t chunk) {
  const auto model = open(setting, n_threads, chunk);
  Scorer scorer(*model->transformer, *model->kv,
                {.attention = model->attention,
                 .context = model->context,
                 .chunk = chunk,
                 .keep_logits = true,
                 .keep_trace = false});
  auto result = scorer.score(some_ids(150, 1));
  EXPECT_TRUE(result.ok());
  return std::move(result).value();
}

template <typename T>
bool same_bytes(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

class Bytes : public ::testing::TestWithParam<Setting> {};
INSTANTIATE_TEST_SUITE_P(All, Bytes, ::testing::ValuesIn(settings()), setting_name);

TEST_P(Bytes, PiecesAndThreadsAreInvisible) {
  const Score whole = score(GetParam(), 1, 256);
  for (const auto& [n_threads, chunk] :
       std::vector<std::pair<int, int64_t>>{{1, 1}, {1, 7}, {2, 64}, {2, 256}, {3, 33}, {3, 1}}) {
    const Score pieces = score(GetParam(), n_threads, chunk);
    EXPECT_TRUE(same_bytes(whole.logits, pieces.logits))
        << n_threads << " threads, pieces of " << chunk;
    EXPECT_TRUE(same_bytes(whole.logprobs, pieces.logprobs));
    EXPECT_TRUE(same_bytes(whole.mtp_logits, pieces.mtp_logits));
  }
}

struct Generated final : public EventSink {
  void on_token(const TokenEvent& event) override {
    tokens.push_back(event.token);
    logprobs.push_back(event.logprob);
  }
  std::vector<int32_t> tokens;
  std::vector<float> logprobs;
};

GenerateRequest request(int64_t n_prompt, uint32_t seed, int64_t max_tokens) {
  GenerateRequest out;
  out.prompt = some_ids(n_prompt, seed);
  out.max_tokens = max_tokens;
  out.ignore_eos = true;
  out.logprobs = 0;
  out.sampling.temperature = 0.8;
  out.sampling.seed = seed;
  return out;
}

TEST_P(Bytes, NeighboursInTheBatchAreInvisible) {
  Generated alone;
  {
    const auto model = open(GetParam(), 1, 256);
    const auto engine = model->make_engine();
    ASSERT_TRUE(engine->submit(request(70, 5, 20), alone).ok());
    while (!engine->idle()) engine->step();
  }
  // Neighbours of other lengths that begin earlier and later, end earlier and later; small pieces
  // of prompts.
  const auto model = open(GetParam(), 2, 24, 6);
  const auto engine = model->make_engine();
  std::vector<Generated> neighbours(7);
  Generated among;
  ASSERT_TRUE(engine->submit(request(3, 11, 40), neighbours[0]).ok());
  ASSERT_TRUE(engine->submit(request(100, 12, 3), neighbours[1]).ok());
  for (int i = 0; i < 3; ++i) engine->step();
  ASSERT_TRUE(engine->submit(request(70, 5, 20), among).ok());
  for (size_t i = 2; i < neighbours.size(); ++i) {
    ASSERT_TRUE(
        engine
            ->submit(request(20 + 17 * static_cast<int64_t>(i), 13 + static_cast<uint32_t>(i), 5),
                     neighbours[i])
            .ok());
    engine->step();
  }
  while (!engine->idle()) engine->step();
  EXPECT_EQ(alone.tokens, among.tokens);
  EXPECT_TRUE(same_bytes(alone.logprobs, among.logprobs));
}

TEST_P(Bytes, AKeptCacheIsInvisible) {
  // A prompt that goes on from an earlier one, as the next turn of a conversation does.
  GenerateRequest next = request(70, 5, 12);
  for (const int32_t id : some_ids(40, 9)) next.prompt.push_back(id);
  Generated fresh, continued, first;
  {
    const auto model = open(GetParam(), 1, 256);
    const auto engine = model->make_engine();
    ASSERT_TRUE(engine->submit(next, fresh).ok());
    while (!engine->idle()) engine->step();
    EXPECT_EQ(engine->counters().prompt_tokens, 110);
  }
  const auto model = open(GetParam(), 2, 256);
  const auto engine = model->make_engine();
  ASSERT_TRUE(engine->submit(request(70, 5, 8), first).ok());
  while (!engine->idle()) engine->step();
  ASSERT_TRUE(engine->submit(next, continued).ok());
  while (!engine->idle()) engine->step();
  EXPECT_EQ(engine->counters().cached_tokens, kKvBlockRows);
  EXPECT_EQ(engine->counters().prompt_tokens, 70 + 110 - kKvBlockRows);
  EXPECT_EQ(fresh.tokens, continued.tokens);
  EXPECT_TRUE(same_bytes(fresh.logprobs, continued.logprobs));
}

// 200 random prompts, as many at once as max_running allows, in the order in which room is found.
std::vector<Generated> random_prompts(const Setting& setting, int n_threads, int64_t chunk,
                                      int64_t max_running) {
  constexpr size_t kPrompts = 200;
  const auto model = open(setting, n_threads, chunk, max_running);
  const auto engine = model->make_engine();
  std::vector<Generated> out(kPrompts);
  for (size_t i = 0; i < kPrompts; ++i) {
    const auto seed = static_cast<uint32_t>(1000 + i);
    const int64_t n_prompt = 1 + some_ids(1, seed)[0] % 90, n_tokens = 1 + some_ids(2, seed)[1] % 7;
    EXPECT_TRUE(engine->submit(request(n_prompt, seed, n_tokens), out[i]).ok());
    if (max_running == 1) {
      while (!engine->idle()) engine->step();
    }
  }
  while (!engine->idle()) engine->step();
  return out;
}

TEST(RandomPrompts, OneSetOfBytes) {
  for (const Isa isa : available_isas()) {
    if (isa == Isa::kRef) continue;  // too slow for 2,000 prompts; the tests above have it
    for (const auto& [name, activations] :
         std::vector<std::pair<std::string, std::string>>{{"v3-fp8", "fp8"}, {kPacked, "int8"}}) {
      const Setting setting = {name, std::string(isa_name(isa)), activations, "bf16", "auto"};
      const auto alone = random_prompts(setting, 1, 512, 1);
      for (const auto& [n_threads, chunk, max_running] :
           std::vector<std::tuple<int, int64_t, int64_t>>{
               {2, 512, 16}, {1, 1, 2}, {2, 3, 4}, {1, 50, 7}, {2, 128, 11}}) {
        const auto batched = random_prompts(setting, n_threads, chunk, max_running);
        for (size_t i = 0; i < alone.size(); ++i) {
          ASSERT_TRUE(same_bytes(alone[i].tokens, batched[i].tokens) &&
                      same_bytes(alone[i].logprobs, batched[i].logprobs))
              << setting.isa << " " << name << " prompt " << i << ": " << n_threads
              << " threads, chunks of " << chunk << ", batches of " << max_running;
        }
      }
    }
  }
}

TEST(Forms, NaiveAndAbsorbedAgreeInF32) {
  const Setting naive = {"v3-fp8", "auto", "full", "f32", "naive"};
  Setting absorbed = naive;
  absorbed.attention = "absorbed";
  const Score a = score(naive, 2, 64), b = score(absorbed, 2, 64);
  float largest = 0, difference = 0;
  for (size_t i = 0; i < a.logits.size(); ++i) {
    largest = std::max(largest, std::fabs(a.logits[i]));
    difference = std::max(difference, std::fabs(a.logits[i] - b.logits[i]));
  }
  EXPECT_GT(difference, 0);  // they are two orders
  EXPECT_LE(difference, 2e-4 * largest);
}

TEST(Forms, AutoUsesTheFormOfThePosition) {
  // A generated token's bytes are those of the absorbed form over a naive prompt, whatever the
  // chunks of the prompt.
  const Setting automatic = {"v3-fp8", "auto", "fp8", "bf16", "auto"};
  std::vector<Generated> results(3);
  int64_t rows[] = {256, 64, 7};
  for (size_t i = 0; i < results.size(); ++i) {
    const auto model = open(automatic, static_cast<int>(i) + 1, rows[i]);
    const auto engine = model->make_engine();
    ASSERT_TRUE(engine->submit(request(90, 3, 30), results[i]).ok());
    while (!engine->idle()) engine->step();
  }
  for (size_t i = 1; i < results.size(); ++i) {
    EXPECT_EQ(results[0].tokens, results[i].tokens);
    EXPECT_TRUE(same_bytes(results[0].logprobs, results[i].logprobs));
  }
}

}  // namespace
}  // namespace fathom
