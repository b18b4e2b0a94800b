#include "engine/draft_bench.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <vector>

#include "base/check.h"
#include "base/math.h"
#include "base/median.h"
#include "base/mix64.h"
#include "base/seconds_since.h"

namespace fathom {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kPromptTokens = 16;
constexpr int64_t kStepTimes = 8;  // of each kind and repeat

// An answer without drafts has two more tokens, so that the last drafts of the other are known.
int64_t context_of(const DraftBenchOptions& options) {
  return kPromptTokens + options.tokens + 2 * kAnswerRows;
}

// The tokens of one answer.
class Answer final : public EventSink {
 public:
  void on_token(const TokenEvent& event) override {
    if (event.token >= 0) {
      tokens.push_back(event.token);
      usage = event.usage;
    }
    error = event.error;
  }
  int64_t size() const { return std::ssize(tokens); }

  std::vector<int32_t> tokens;
  RequestUsage usage;
  std::string error;
  double tokens_per_s = 0;  // of those behind the first, which is the prompt's
};

class DraftBench {
 public:
  DraftBench(Transformer& model, KvPool& pool, const DraftBenchOptions& options)
      : model_(model), pool_(pool), options_(options) {}

  Status run() {
    for (int64_t i = 0; i < options_.repeat; ++i) {
      const uint64_t key = mix64(options_.seed + static_cast<uint64_t>(i));
      FATHOM_TRY(const Answer plain,
                 answer(key, options_.tokens + kAnswerRows, Drafting::kOff, {}));
      FATHOM_RETURN_IF_ERROR(time_steps(key));
      const auto forced = [&](int64_t position, int32_t) {
        return forced_draft(plain.tokens, key, position);
      };
      FATHOM_TRY(const Answer drafted, answer(key, options_.tokens, Drafting::kOn, forced));
      FATHOM_CHECK(std::equal(drafted.tokens.begin(), drafted.tokens.end(), plain.tokens.begin()),
                   "drafts change an answer");
      plain_.push_back(plain.tokens_per_s);
      drafts_.push_back(drafted.tokens_per_s);
      n_drafted_ += drafted.usage.drafted_tokens;
      n_accepted_ += drafted.usage.accepted_tokens;
      if (options_.on_run) options_.on_run();
    }
    return {};
  }

  DraftBenchResult result() const {
    return {.acceptance = static_cast<double>(n_accepted_) /
                          static_cast<double>(std::max<int64_t>(1, n_drafted_)),
            .plain_tokens_per_s = median(plain_),
            .drafts_tokens_per_s = median(drafts_),
            .t1 = median(t1_),
            .t2 = median(t2_),
            .t_module = median(t_module_)};
  }

 private:
  int32_t random_token(uint64_t key) const {
    return static_cast<int32_t>(mix64(key) % static_cast<uint64_t>(model_.config().vocab_size));
  }

  // Right for as many positions of a hundred thousand as were asked for.
  int32_t forced_draft(const std::vector<int32_t>& tokens, uint64_t key, int64_t position) const {
    constexpr uint64_t kScale = 100'000;
    const int64_t at = position - kPromptTokens;
    const int32_t right = at < std::ssize(tokens) ? tokens[static_cast<size_t>(at)] : 0;
    const bool is_right =
        static_cast<double>(mix64(~key + static_cast<uint64_t>(position)) % kScale) <
        options_.acceptance * static_cast<double>(kScale);
    const auto vocab_size = static_cast<int32_t>(model_.config().vocab_size);
    return is_right ? right : (right + 1) % vocab_size;
  }

  // At least n tokens. Sampled at temperature 1, since greedy answers of random weights run in
  // circles. Timed are whole steps, from behind the one that read the prompt.
  Result<Answer> answer(uint64_t key, int64_t n, Drafting drafting,
                        std::function<int32_t(int64_t, int32_t)> replace_draft) {
    Engine engine(model_, pool_, nullptr,
                  {.attention = options_.attention,
                   .drafting = drafting,
                   .context = context_of(options_),
                   .max_running = 1,
                   .prefill_rows = kPromptTokens,
                   .eos_token_ids = {},
                   .replace_draft = std::move(replace_draft)});
    GenerateRequest request;
    for (int64_t i = 0; i < kPromptTokens; ++i)
      request.prompt.push_back(random_token(key + static_cast<uint64_t>(i)));
    request.ignore_eos = true;
    request.sampling.seed = key;
    Answer answer;
    FATHOM_TRY(const RequestId id, engine.submit(std::move(request), answer));
    while (answer.tokens.empty() && !engine.idle()) engine.step();
    const auto begin = Clock::now();
    const int64_t n_before = answer.size();
    while (answer.size() < n && !engine.idle()) engine.step();
    const double seconds = seconds_since(begin);
    if (!answer.error.empty()) return Error{ErrorCode::kIo, answer.error};
    FATHOM_CHECK(answer.size() >= n, answer.size(), " tokens of ", n);
    answer.tokens_per_s = static_cast<double>(answer.size() - n_before) / seconds;
    engine.cancel(id);
    return answer;
  }

  // Steps over random tokens, others each time, behind a prompt of which the cache holds nothing:
  // alike in time.
  Status time_steps(uint64_t key) {
    KvSequence kv(pool_, context_of(options_));
    FATHOM_CHECK(kv.reserve(kPromptTokens + kAnswerRows), "room for one sequence");
    Buffer<float> logits(kAnswerRows * model_.config().vocab_size);
    constexpr int32_t kRows[kAnswerRows] = {0, 1};
    std::array<int32_t, 1 + kAnswerRows> tokens;
    // What pass returns; null where weights cannot be read.
    const auto timed = [&](std::vector<double>& times, size_t n_logits, const auto& pass) {
      const auto begin = Clock::now();
      const float* const hidden = pass();
      if (hidden == nullptr) return hidden;
      model_.logits(hidden, std::span(kRows).first(n_logits), logits.data());
      times.push_back(seconds_since(begin));
      return hidden;
    };
    for (int64_t i = 0; i < kStepTimes; ++i) {
      for (int32_t& token : tokens) token = random_token(--key);
      BatchSequence sequence{.tokens = std::span(tokens).first(1),
                             .first_position = kPromptTokens,
                             .absorbed = is_absorbed(options_.attention, true),
                             .kv = &kv};
      const Batch batch{.sequences = {&sequence, 1}};
      const float* hidden = timed(t1_, 1, [&] { return model_.forward(batch); });
      sequence.tokens = std::span(tokens).last(kAnswerRows);
      if (hidden != nullptr)
        hidden = timed(t2_, kAnswerRows, [&] { return model_.forward(batch); });
      if (hidden != nullptr)
        hidden = timed(t_module_, 1, [&] { return model_.mtp_forward(0, batch, hidden); });
      if (hidden == nullptr) return model_.expert_source()->status();
    }
    return {};
  }

  Transformer& model_;
  KvPool& pool_;
  const DraftBenchOptions& options_;
  std::vector<double> plain_, drafts_, t1_, t2_, t_module_;
  int64_t n_drafted_ = 0, n_accepted_ = 0;
};

}  // namespace

WorkspaceLimits draft_bench_limits(const DraftBenchOptions& options) {
  return {.max_rows = kAnswerRows + kPromptTokens,
          .max_sequences = 1,
          .max_context = context_of(options),
          .max_logit_rows = kAnswerRows};
}

// An answer and what is kept of the one before.
int64_t draft_bench_kv_bytes(const DraftBenchOptions& options, const KvLayout& layout,
                             int64_t n_layers) {
  return 2 * ceil_div(context_of(options), kKvBlockRows) *
         KvPool::bytes_per_block(layout, n_layers);
}

Result<DraftBenchResult> bench_drafts(Transformer& model, const DraftBenchOptions& options) {
  FATHOM_CHECK(model.n_mtp_modules() > 0, "a model without an MTP module");
  FATHOM_CHECK(options.tokens > kAnswerRows && options.repeat > 0, options.tokens, " tokens, ",
               options.repeat, " times");
  const int64_t n_layers = model.n_kv_layers();
  FATHOM_TRY(KvPool pool,
             KvPool::create(model.kv_layout(), n_layers,
                            draft_bench_kv_bytes(options, model.kv_layout(), n_layers)));
  DraftBench bench(model, pool, options);
  FATHOM_RETURN_IF_ERROR(bench.run());
  return bench.result();
}

}  // namespace fathom
