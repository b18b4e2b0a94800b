// Log-probabilities of given tokens, and what lies behind them: logits, hidden states, the router's
// choices
// (`fathom score`). A sequence longer than the context is scored in windows of the context's length
// that overlap by half: each token once, with at least half a window before it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "engine/engine.h"

namespace fathom {

struct ScoreOptions {
  AttentionForm attention = AttentionForm::kAuto;  // all positions are a prompt's
  int64_t context = 0;
  int64_t chunk = 512;       // rows of one pass
  bool keep_logits = false;  // and those of the MTP module, if there is one
  bool keep_trace = false;
};

struct RouterTrace {
  int64_t layer;
  std::vector<int64_t> indices;  // [n_tokens, num_experts_per_tok]
  std::vector<float> weights;
};

struct Score {
  std::vector<float> logprobs;  // [n_tokens]; entry 0 stands for nothing
  double nll = 0;               // minus the sum of logprobs[1 ..]
  // With keep_logits (sequences within the context only):
  std::vector<float> logits;      // [n_tokens, vocab_size]
  std::vector<float> mtp_logits;  // [n_tokens - 1, vocab_size]
  // With keep_trace:
  std::vector<std::vector<float>> hidden;  // [layer][n_tokens, hidden_size]
  std::vector<RouterTrace> routers;
};

class Scorer {
 public:
  // The transformer's limits hold `chunk` rows, one sequence, kScoreLogitRows logit rows; pool
  // holds one context.
  static constexpr int64_t kScoreLogitRows = 64;
  Scorer(Transformer& model, KvPool& pool, const ScoreOptions& options);

  // Errors: no tokens, ids outside the vocabulary; with keep_logits or keep_trace, more tokens than
  // the context. stop is asked between passes: true ends with kInterrupted.
  Result<Score> score(std::span<const int32_t> ids, const std::function<bool()>& stop = {});

 private:
  // Scores ids as one sequence from position 0; log-probabilities from index `first` on go to
  // out[first ..].
  Status score_window(std::span<const int32_t> ids, int64_t first, std::span<float> logprobs,
                      Score& score, const std::function<bool()>& stop);
  void take_logits(std::span<const int32_t> ids, int64_t begin, int64_t n, int64_t first,
                   std::span<float> logprobs, const float* hidden, Score& score);
  void take_mtp_logits(int64_t begin, int64_t n, const float* hidden, Score& score);

  Transformer& model_;
  KvPool& pool_;
  ScoreOptions options_;
  Buffer<float> logits_;
  Buffer<int32_t> row_ids_;
};

}  // namespace fathom
