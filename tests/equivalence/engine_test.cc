// Goal: what the engine does to be fast never shows: drafts, requests that are put back and
// computed again, prefixes from the cache, who comes first. Method: each request alone, without any
// of it, bit by bit against many at once in a cache that is too small for them.
#include "engine/engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "engine/json_schema.h"
#include "engine/loaded_model.h"
#include "engine/regex_grammar.h"
#include "tests/support/models.h"

namespace fathom {
namespace {

std::string default_folder() { return std::string(FATHOM_TESTDATA) + "/../models/default"; }

std::unique_ptr<LoadedModel> open(const std::string& folder, const std::string& isa,
                                  const std::string& attention, int64_t prefill_rows,
                                  int64_t max_running) {
  auto model = load_model({.path = folder,
                           .n_threads = 2,
                           .isa = isa,
                           .activations = "auto",
                           .kv_dtype = "auto",
                           .attention = attention,
                           .context = 256,
                           .max_memory = {},
                           .max_running = max_running,
                           .prefill_rows = prefill_rows,
                           .needs_tokenizer = false});
  EXPECT_TRUE(model.ok()) << model.error().message;
  return std::move(model).value();
}

struct Answer final : public EventSink {
  void on_token(const TokenEvent& event) override {
    EXPECT_EQ(finish, FinishReason::kNone);
    if (event.token >= 0) {
      tokens.push_back(event.token);
      logprobs.push_back(event.logprob);
    }
    finish = event.finish;
    usage = event.usage;
    if (order != nullptr && tokens.size() == 1) order->push_back(event.request);
  }
  bool operator==(const Answer& other) const {
    return tokens == other.tokens && finish == other.finish &&
           logprobs.size() == other.logprobs.size() &&
           std::memcmp(logprobs.data(), other.logprobs.data(), logprobs.size() * sizeof(float)) ==
               0;
  }
  std::vector<int32_t> tokens;
  std::vector<float> logprobs;
  FinishReason finish = FinishReason::kNone;
  RequestUsage usage;
  std::vector<RequestId>* order = nullptr;  // of first tokens
};

GenerateRequest request(int64_t n_prompt, uint32_t seed, int64_t max_tokens) {
  GenerateRequest out;
  for (int64_t i = 0; i < n_prompt; ++i) {
    seed = seed * 1664525u + 1013904223u;
    out.prompt.push_back(static_cast<int32_t>((seed >> 16) % 250));
  }
  out.max_tokens = max_tokens;
  out.ignore_eos = true;
  out.logprobs = 0;
  out.sampling.temperature = 0.7;
  out.sampling.seed = seed;
  return out;
}

// Requests of a kind that meets everything: two that begin alike, a long one, short ones.
std::vector<GenerateRequest> requests(double temperature) {
  std::vector<GenerateRequest> out;
  for (uint32_t i = 0; i < 6; ++i)
    out.push_back(request(20 + 33 * static_cast<int64_t>(i % 4), 40 + i, 30 + 11 * (i % 3)));
  out.push_back(out[3]);
  out.back().prompt.push_back(5);
  for (GenerateRequest& r : out) r.sampling.temperature = temperature;
  return out;
}

std::vector<Answer> alone(LoadedModel& model, const std::vector<GenerateRequest>& all) {
  std::vector<Answer> out(all.size());
  for (size_t i = 0; i < all.size(); ++i) {
    const auto engine = model.make_engine();
    EXPECT_TRUE(engine->submit(all[i], out[i]).ok());
    while (!engine->idle()) engine->step();
    EXPECT_EQ(engine->counters().drafted_tokens, 0);
  }
  return out;
}

std::vector<Answer> together(Engine& engine, const std::vector<GenerateRequest>& all) {
  std::vector<Answer> out(all.size());
  for (size_t i = 0; i < all.size(); ++i) EXPECT_TRUE(engine.submit(all[i], out[i]).ok());
  while (!engine.idle()) engine.step();
  return out;
}

// With drafts, all in one batch.
std::vector<Answer> drafted_together(LoadedModel& model, const std::vector<GenerateRequest>& all) {
  model.drafting = Drafting::kOn;
  return together(*model.make_engine(), all);
}

struct Form {
  std::string isa, attention;
};

std::vector<Form> forms() {
  std::vector<Form> out;
  for (const Isa isa : available_isas()) {
    for (const char* attention : {"auto", "naive", "absorbed"})
      out.push_back({std::string(isa_name(isa)), attention});
  }
  return out;
}

class EngineBytes : public ::testing::TestWithParam<Form> {};
std::string form_name(const ::testing::TestParamInfo<Form>& form) {
  return form.param.isa + "_" + form.param.attention;
}
INSTANTIATE_TEST_SUITE_P(All, EngineBytes, ::testing::ValuesIn(forms()), form_name);

TEST_P(EngineBytes, DraftsAreInvisible) {
  for (const double temperature : {0.0, 0.7}) {
    const auto model = open(default_folder(), GetParam().isa, GetParam().attention, 50, 8);
    const auto all = requests(temperature);
    model->drafting = Drafting::kOff;
    const auto expected = alone(*model, all);
    model->drafting = Drafting::kOn;
    const auto engine = model->make_engine();
    std::vector<Answer> answers(all.size());
    for (size_t i = 0; i < all.size(); ++i) {
      ASSERT_TRUE(engine->submit(all[i], answers[i]).ok());
      engine->step();
    }
    while (!engine->idle()) engine->step();
    int64_t accepted = 0;
    for (size_t i = 0; i < all.size(); ++i) {
      EXPECT_EQ(answers[i], expected[i]) << "request " << i;
      EXPECT_GT(answers[i].usage.drafted_tokens, 0);
      accepted += answers[i].usage.accepted_tokens;
    }
    EXPECT_EQ(accepted, engine->counters().accepted_tokens);
    EXPECT_GT(accepted, 0);
    EXPECT_LT(accepted, engine->counters().drafted_tokens);
  }
}

TEST_P(EngineBytes, BeingPutBackIsInvisible) {
  for (const Drafting drafting : {Drafting::kOff, Drafting::kOn}) {
    const auto model = open(testing::reference_model_folder("v3-mtp"), GetParam().isa,
                            GetParam().attention, 40, 8);
    const auto all = requests(0.7);
    model->drafting = Drafting::kOff;
    const auto expected = alone(*model, all);
    // Five blocks: no two of the longer ones fit to their ends.
    const Transformer& transformer = *model->transformer;
    auto pool = KvPool::create(
        transformer.kv_layout(), transformer.n_kv_layers(),
        5 * KvPool::bytes_per_block(transformer.kv_layout(), transformer.n_kv_layers()));
    ASSERT_TRUE(pool.ok());
    {
      Engine engine(*model->transformer, *pool, nullptr,
                    {.attention = model->attention,
                     .drafting = drafting,
                     .context = 256,
                     .max_running = 8,
                     .prefill_rows = 40,
                     .eos_token_ids = {}});
      const auto answers = together(engine, all);
      for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(answers[i], expected[i]) << "request " << i;
      EXPECT_GT(engine.counters().put_back, 0);
      // Of one form for all positions the prefix cache keeps nearly everything.
      if (GetParam().attention == "auto") {
        EXPECT_GT(engine.counters().repeated_tokens, 0);
      }
    }
    EXPECT_EQ(pool->n_free(), 5);
  }
}

// The default model within JSON, where a token is often the only one that may come.
TEST_P(EngineBytes, DraftsWithinAGrammarAreInvisible) {
  const auto model = open(default_folder(), GetParam().isa, GetParam().attention, 50, 4);
  const auto schema = parse_json(R"({"type": "array", "items": {"type": "object", "properties": {
      "name": {"type": "string", "maxLength": 8}, "good": {"type": "boolean"}}, "required": ["name", "good"]},
      "minItems": 2, "maxItems": 3})");
  const auto grammar = std::make_shared<const Grammar>(json_schema_grammar(*schema).value());
  std::vector<GenerateRequest> all;
  for (uint32_t i = 0; i < 4; ++i) {
    all.push_back(request(20 + 9 * static_cast<int64_t>(i), 70 + i, 120));
    all.back().grammar = grammar;
    all.back().ignore_eos = false;
    all.back().sampling.temperature = i % 2 == 0 ? 0.0 : 0.9;
  }
  model->drafting = Drafting::kOff;
  const auto expected = alone(*model, all);
  const auto answers = drafted_together(*model, all);
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(answers[i], expected[i]) << "request " << i;
    EXPECT_EQ(answers[i].finish, FinishReason::kStop);
    EXPECT_GT(answers[i].usage.accepted_tokens, 0);
    const std::string text = model->tokenizer->decode(answers[i].tokens, false);
    const Result<Json> json = parse_json(text);
    ASSERT_TRUE(json.ok()) << text;
    EXPECT_GE(json->as_array().size(), 2u);
  }
}

// A grammar that a token opens, again and again: digits behind each full stop, else what the model
// wants.
TEST_P(EngineBytes, DraftsAroundAnOpenedGrammarAreInvisible) {
  const auto model = open(default_folder(), GetParam().isa, GetParam().attention, 50, 4);
  const auto grammar = std::make_shared<const Grammar>(regex_grammar("[0-9]{3}!").value());
  const auto stop = model->tokenizer->encode(".");
  ASSERT_EQ(stop.size(), 1u);
  std::vector<GenerateRequest> all;
  for (uint32_t i = 0; i < 4; ++i) {
    all.push_back(request(20 + 9 * static_cast<int64_t>(i), 70 + i, 120));
    all.back().grammar = grammar;
    all.back().grammar_opener = stop[0];
    all.back().sampling.temperature = i % 2 == 0 ? 0.0 : 0.9;
    all.back().sampling.logit_bias = {{stop[0], 3.0f}};
  }
  model->drafting = Drafting::kOff;
  const auto expected = alone(*model, all);
  const auto answers = drafted_together(*model, all);
  int64_t n_opened = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(answers[i], expected[i]) << "request " << i;
    EXPECT_EQ(std::ssize(answers[i].tokens), 120);
    EXPECT_GT(answers[i].usage.accepted_tokens, 0);
    for (size_t at = 0; at < answers[i].tokens.size(); ++at) {
      if (answers[i].tokens[at] != stop[0]) continue;
      const std::string text = model->tokenizer->decode(
          std::span<const int32_t>(answers[i].tokens).subspan(at + 1), false);
      ++n_opened;
      if (text.size() < 4) continue;  // cut off
      EXPECT_EQ(text.substr(0, 3).find_first_not_of("0123456789"), std::string::npos) << text;
      EXPECT_EQ(text[3], '!') << text;
    }
  }
  EXPECT_GT(n_opened, 4);
}

// Before min_tokens a stop token is drawn where an opened grammar leaves no other, and not where it
// only may end.
TEST(Engine, StopTokensWithinAGrammarBeforeTheyMayStop) {
  const auto model = open(default_folder(), "auto", "auto", 50, 1);
  model->drafting = Drafting::kOff;
  const auto opener = model->tokenizer->encode(".");
  ASSERT_EQ(opener.size(), 1u);
  constexpr int32_t kEnd = 1;
  GenerateRequest asked = request(20, 70, 120);
  asked.min_tokens = asked.max_tokens;
  asked.grammar_opener = opener[0];
  asked.sampling.logit_bias = {{opener[0], 5.0f}, {kEnd, 50.0f}};
  const auto texts_behind_opener = [&](const std::string& pattern) {
    asked.grammar = std::make_shared<const Grammar>(regex_grammar(pattern).value());
    const std::vector<int32_t> tokens = alone(*model, {asked})[0].tokens;
    EXPECT_EQ(std::ssize(tokens), asked.max_tokens);
    EXPECT_EQ(std::count(tokens.begin(), tokens.end(), kEnd), 0);
    std::vector<std::string> out;
    for (size_t at = 0; at + 4 < tokens.size(); ++at) {
      if (tokens[at] == opener[0])
        out.push_back(model->tokenizer->decode(std::span(tokens).subspan(at + 1), false));
    }
    EXPECT_FALSE(out.empty());
    return out;
  };
  asked.stop_token_ids = {kEnd};
  for (const std::string& text : texts_behind_opener("[0-9]{1,9}"))
    EXPECT_EQ(text.substr(0, 1).find_first_not_of("0123456789"), std::string::npos) << text;
  for (int32_t id = 0; id < 4096; ++id) {
    const std::string_view bytes = model->tokenizer->token_bytes(id);
    const bool is_part =
        !bytes.empty() && std::string_view("777!").find(bytes) != std::string::npos;
    if (is_part) asked.stop_token_ids.push_back(id);
  }
  for (const std::string& text : texts_behind_opener("777!"))
    EXPECT_EQ(text.substr(0, 4), "777!") << text;
}

TEST(Engine, SharedBeginningsAreComputedOnce) {
  const auto model = open(testing::reference_model_folder("v3-mtp"), "auto", "auto", 256, 8);
  const auto engine = model->make_engine();
  GenerateRequest first = request(130, 1, 4), other = first;
  other.prompt.push_back(3);
  Answer a, b, c;
  ASSERT_TRUE(engine->submit(first, a).ok());
  while (!engine->idle()) engine->step();
  EXPECT_EQ(engine->counters().prompt_tokens, 130);
  ASSERT_TRUE(engine->submit(other, b).ok());
  while (!engine->idle()) engine->step();
  EXPECT_EQ(b.usage.cached_prompt_tokens, 128);
  EXPECT_EQ(engine->counters().prompt_tokens, 133);
  other.cache_partition = "someone else's";
  ASSERT_TRUE(engine->submit(other, c).ok());
  while (!engine->idle()) engine->step();
  EXPECT_EQ(c.usage.cached_prompt_tokens, 0);
  EXPECT_EQ(b, c);
}

TEST(Engine, TheLineIsByPriorityAndArrival) {
  const auto model = open(testing::reference_model_folder("v3-mtp"), "auto", "auto", 64, 1);
  const auto engine = model->make_engine();
  std::vector<Answer> answers(4);
  std::vector<RequestId> order, ids;
  for (size_t i = 0; i < answers.size(); ++i) {
    GenerateRequest r = request(5, static_cast<uint32_t>(i), 2);
    r.priority = i == 2 ? 7 : i == 1 ? -7 : 0;
    answers[i].order = &order;
    ids.push_back(engine->submit(std::move(r), answers[i]).value());
  }
  EXPECT_EQ(engine->n_queued(), 4);
  while (!engine->idle()) engine->step();
  EXPECT_EQ(order, (std::vector<RequestId>{ids[2], ids[0], ids[3], ids[1]}));
}

TEST(Engine, ADeadlineEndsARequestWhereverItIs) {
  const auto model = open(testing::reference_model_folder("v3-mtp"), "auto", "auto", 64, 1);
  const auto engine = model->make_engine();
  Answer running, waiting, other;
  ASSERT_TRUE(engine->submit(request(5, 1, 200), running).ok());
  GenerateRequest late = request(5, 2, 20);
  late.deadline = std::chrono::steady_clock::now();
  ASSERT_TRUE(engine->submit(late, waiting).ok());
  engine->step();
  EXPECT_EQ(waiting.finish, FinishReason::kExpired);
  EXPECT_EQ(running.finish, FinishReason::kNone);
  const int64_t before = model->kv->n_free();
  engine->cancel(1);
  EXPECT_EQ(running.finish, FinishReason::kCancelled);
  EXPECT_GT(model->kv->n_free(), before);
  EXPECT_TRUE(engine->idle());
}

TEST(Engine, ALongPromptDoesNotHoldUpShortOnes) {
  const auto model = open(testing::reference_model_folder("v3-mtp"), "auto", "auto", 16, 8);
  const auto engine = model->make_engine();
  std::vector<RequestId> order;
  Answer long_one, short_one;
  long_one.order = short_one.order = &order;
  ASSERT_TRUE(engine->submit(request(200, 1, 2), long_one).ok());
  engine->step();
  ASSERT_TRUE(engine->submit(request(10, 2, 2), short_one).ok());
  engine->step();
  engine->step();
  EXPECT_EQ(order.size(), 1u);  // the short one, ten steps before the long one
  while (!engine->idle()) engine->step();
  EXPECT_EQ(order, (std::vector<RequestId>{2, 1}));
}

}  // namespace
}  // namespace fathom
