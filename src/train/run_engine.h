// Validation and samples of a run, by the engine itself, over the weights as they are trained:
// what a person would see who loaded the checkpoint.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "model/transformer.h"
#include "tokenizer/tokenizer.h"
#include "train/trainer.h"

namespace fathom {

class RunEngine {
 public:
  // config, weights and tokenizer (may be null) outlive it; weights may change between calls.
  static Result<std::unique_ptr<RunEngine>> create(const ModelConfig& config,
                                                   const ModelWeights& weights,
                                                   const Tokenizer* tokenizer,
                                                   int64_t sequence_length, Compute compute);

  // Mean loss of n_sequences sequences of the held-out data, each read once from its beginning as
  // training does; sequence(i, tokens, mask) as in TrainerHooks. Bits per byte need a tokenizer:
  // the bytes are those that the predicted tokens stand for, of control tokens none.
  using Sequence =
      std::function<Status(int64_t index, std::span<int32_t> tokens, std::span<uint8_t> mask)>;
  Result<Evaluation> evaluate(const Sequence& sequence, int64_t n_sequences);

  // Continues each prompt (raw text, with what the tokenizer puts before it) by up to n_tokens;
  // prompt and answer. The same seed draws the same.
  Result<std::vector<std::string>> sample(const std::vector<std::string>& prompts, int64_t n_tokens,
                                          double temperature, uint64_t seed);

  // Whether sample() takes these prompts: each has a token and fits into a sequence. Needs a
  // tokenizer, as sample() does.
  Status check_prompts(const std::vector<std::string>& prompts) const;

 private:
  RunEngine(const ModelConfig& config, const ModelWeights& weights, const Tokenizer* tokenizer,
            int64_t sequence_length, const ModelOptions& options, Compute compute, KvPool kv);
  struct Sums {
    double nll = 0;
    int64_t n_targets = 0, n_bytes = 0;
  };
  Result<std::vector<int32_t>> prompt_tokens(const std::string& prompt) const;
  Status add_sequence(std::span<const int32_t> tokens, std::span<const uint8_t> mask, Sums& sums);

  const ModelConfig& config_;
  const Tokenizer* tokenizer_;
  int64_t sequence_length_;
  Transformer transformer_;
  KvPool kv_;
  Buffer<float> logits_;
};

}  // namespace fathom
