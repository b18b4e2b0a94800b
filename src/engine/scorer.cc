#include "engine/scorer.h"

#include <algorithm>
#include <memory>

namespace fathom {

namespace {

// Collects what a pass shows into the rows [begin, begin + n) of the trace.
class Tracer final : public ForwardObserver {
 public:
  Tracer(const ModelConfig& config, Score& score, int64_t n_tokens)
      : config_(config), score_(score), n_tokens_(n_tokens) {
    score_.hidden.resize(static_cast<size_t>(config.num_hidden_layers));
    for (auto& layer : score_.hidden)
      layer.resize(static_cast<size_t>(n_tokens * config.hidden_size));
  }
  void at(int64_t begin) { begin_ = begin; }

  void on_layer(int64_t layer, const float* x, int64_t n_rows) override {
    if (layer >= config_.num_hidden_layers) return;
    std::copy_n(x, n_rows * config_.hidden_size,
                score_.hidden[static_cast<size_t>(layer)].data() + begin_ * config_.hidden_size);
  }
  void on_router(int64_t layer, const int32_t* indices, const float* weights,
                 int64_t n_rows) override {
    if (layer >= config_.num_hidden_layers) return;
    auto it = std::find_if(score_.routers.begin(), score_.routers.end(),
                           [&](const RouterTrace& trace) { return trace.layer == layer; });
    const int64_t top_k = config_.num_experts_per_tok;
    if (it == score_.routers.end()) {
      it = score_.routers.insert(
          it, RouterTrace{.layer = layer,
                          .indices = std::vector<int64_t>(static_cast<size_t>(n_tokens_ * top_k)),
                          .weights = std::vector<float>(static_cast<size_t>(n_tokens_ * top_k))});
    }
    std::copy_n(indices, n_rows * top_k, it->indices.data() + begin_ * top_k);
    std::copy_n(weights, n_rows * top_k, it->weights.data() + begin_ * top_k);
  }

 private:
  const ModelConfig& config_;
  Score& score_;
  int64_t n_tokens_;
  int64_t begin_ = 0;
};

}  // namespace

Scorer::Scorer(Transformer& model, KvPool& pool, const ScoreOptions& options)
    : model_(model),
      pool_(pool),
      options_(options),
      logits_(kScoreLogitRows * model.config().vocab_size),
      row_ids_(kScoreLogitRows) {
  FATHOM_CHECK(options.chunk >= 1 && options.chunk <= model.limits().max_rows, "chunk ",
               options.chunk);
  FATHOM_CHECK(options.context <= model.limits().max_context, "context ", options.context);
  FATHOM_CHECK(model.limits().max_logit_rows >= kScoreLogitRows, "max_logit_rows");
}

Result<Score> Scorer::score(std::span<const int32_t> ids, const std::function<bool()>& stop) {
  const int64_t n = static_cast<int64_t>(ids.size());
  const int64_t vocab_size = model_.config().vocab_size;
  if (n == 0) return invalid_error("there is nothing to score: no tokens");
  for (int64_t i = 0; i < n; ++i) {
    if (ids[i] < 0 || ids[i] >= vocab_size) {
      return invalid_error("id ", ids[i], " at position ", i, " is not in the vocabulary of ",
                           vocab_size);
    }
  }
  if (n > options_.context && (options_.keep_logits || options_.keep_trace)) {
    return exhausted_error(
        "logits and traces are kept for sequences within the context only: this one has ", n,
        " tokens, the context holds ", options_.context, "; split it or give a larger --context");
  }
  Score score;
  score.logprobs.assign(static_cast<size_t>(n), 0.0f);
  if (options_.keep_logits) {
    score.logits.resize(static_cast<size_t>(n * vocab_size));
    if (model_.n_mtp_modules() > 0)
      score.mtp_logits.resize(static_cast<size_t>((n - 1) * vocab_size));
  }
  // The first window scores all it holds; each later one begins half a window further and scores
  // its new half.
  const int64_t window = options_.context;
  const int64_t stride = std::max<int64_t>(1, window / 2);
  int64_t scored = 0;
  for (int64_t begin = 0; scored < n; begin += stride) {
    const int64_t end = std::min(n, begin + window);
    FATHOM_RETURN_IF_ERROR(score_window(
        ids.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)), scored - begin,
        std::span<float>(score.logprobs).subspan(static_cast<size_t>(begin)), score, stop));
    scored = end;
  }
  for (int64_t i = 1; i < n; ++i) score.nll -= double{score.logprobs[static_cast<size_t>(i)]};
  return score;
}

Status Scorer::score_window(std::span<const int32_t> ids, int64_t first, std::span<float> logprobs,
                            Score& score, const std::function<bool()>& stop) {
  const int64_t n = static_cast<int64_t>(ids.size());
  KvSequence kv(pool_, n);
  if (!kv.reserve(n)) {
    return exhausted_error("the KV cache holds ", pool_.n_free() * kKvBlockRows,
                           " tokens, this sequence has ", n,
                           "; give a smaller --context or more memory");
  }
  std::unique_ptr<Tracer> tracer;
  if (options_.keep_trace) tracer = std::make_unique<Tracer>(model_.config(), score, n);
  for (int64_t begin = 0; begin < n; begin += options_.chunk) {
    if (stop && stop()) return Error{ErrorCode::kInterrupted, "interrupted"};
    const int64_t rows = std::min(options_.chunk, n - begin);
    const BatchSequence sequence = {
        .tokens = ids.subspan(static_cast<size_t>(begin), static_cast<size_t>(rows)),
        .first_position = begin,
        .absorbed = is_absorbed(options_.attention, false),
        .kv = &kv};
    if (tracer) tracer->at(begin);
    const float* hidden = model_.forward({.sequences = {&sequence, 1}}, tracer.get());
    if (hidden == nullptr) return model_.expert_source()->status();
    take_logits(ids, begin, rows, first, logprobs, hidden, score);
    if (options_.keep_logits && model_.n_mtp_modules() > 0) {
      const int64_t pairs = std::min(rows, n - 1 - begin);
      if (pairs <= 0) continue;
      const BatchSequence next = {
          .tokens = ids.subspan(static_cast<size_t>(begin + 1), static_cast<size_t>(pairs)),
          .first_position = begin,
          .absorbed = sequence.absorbed,
          .kv = &kv};
      hidden = model_.mtp_forward(0, {.sequences = {&next, 1}}, hidden);
      if (hidden == nullptr) return model_.expert_source()->status();
      take_mtp_logits(begin, pairs, hidden, score);
    }
  }
  return {};
}

// Row t predicts ids[t + 1].
void Scorer::take_logits(std::span<const int32_t> ids, int64_t begin, int64_t n, int64_t first,
                         std::span<float> logprobs, const float* hidden, Score& score) {
  const int64_t vocab_size = model_.config().vocab_size;
  const int64_t last = static_cast<int64_t>(ids.size()) - 1;
  for (int64_t row = 0; row < n; row += kScoreLogitRows) {
    const int64_t rows = std::min(kScoreLogitRows, n - row);
    // Rows whose successor is scored elsewhere are not worth a product with the head.
    if (!options_.keep_logits && (begin + row + rows < first || begin + row >= last)) continue;
    for (int64_t i = 0; i < rows; ++i) row_ids_[i] = static_cast<int32_t>(row + i);
    model_.logits(hidden, {row_ids_.data(), static_cast<size_t>(rows)}, logits_.data());
    if (options_.keep_logits) {
      std::copy_n(logits_.data(), rows * vocab_size,
                  score.logits.data() + (begin + row) * vocab_size);
    }
    model_.compute().pool->parallel_for(rows, [&](int64_t i, int) {
      const int64_t target = begin + row + i + 1;
      if (target > last || target < std::max<int64_t>(first, 1)) return;
      logprobs[static_cast<size_t>(target)] = token_logprob(
          model_.compute().isa, {logits_.data() + i * vocab_size, static_cast<size_t>(vocab_size)},
          ids[static_cast<size_t>(target)]);
    });
  }
}

void Scorer::take_mtp_logits(int64_t begin, int64_t n, const float* hidden, Score& score) {
  const int64_t vocab_size = model_.config().vocab_size;
  for (int64_t row = 0; row < n; row += kScoreLogitRows) {
    const int64_t rows = std::min(kScoreLogitRows, n - row);
    for (int64_t i = 0; i < rows; ++i) row_ids_[i] = static_cast<int32_t>(row + i);
    model_.logits(hidden, {row_ids_.data(), static_cast<size_t>(rows)},
                  score.mtp_logits.data() + (begin + row) * vocab_size);
  }
}

}  // namespace fathom
