#include "train/run_engine.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "engine/loaded_model.h"
#include "io/printable.h"

namespace fathom {
namespace {

constexpr int64_t kLogitRows = 64;

ModelOptions model_options(Activations activations, KvDtype kv_dtype, int64_t context) {
  return {.activations = activations,
          .kv_dtype = kv_dtype,
          .limits = {.max_rows = context + kAnswerRows,
                     .max_sequences = 2,
                     .max_context = context,
                     .max_logit_rows = kLogitRows}};
}

// Keeps the text of one answer.
class TextSink final : public EventSink {
 public:
  void on_token(const TokenEvent& event) override {
    text += event.text;
    if (event.finish == FinishReason::kFailed) error = event.error;
  }
  std::string text, error;
};

}  // namespace

RunEngine::RunEngine(const ModelConfig& config, const ModelWeights& weights,
                     const Tokenizer* tokenizer, int64_t sequence_length,
                     const ModelOptions& options, Compute compute, KvPool kv)
    : config_(config),
      tokenizer_(tokenizer),
      sequence_length_(sequence_length),
      transformer_(config, weights, options, compute),
      kv_(std::move(kv)),
      logits_(kLogitRows * config.vocab_size) {}

Result<std::unique_ptr<RunEngine>> RunEngine::create(const ModelConfig& config,
                                                     const ModelWeights& weights,
                                                     const Tokenizer* tokenizer,
                                                     int64_t sequence_length, Compute compute) {
  FATHOM_TRY(const Activations activations, resolve_activations("auto", config, weights));
  FATHOM_TRY(const KvDtype kv_dtype, resolve_kv_dtype("auto", activations));
  const ModelOptions options = model_options(activations, kv_dtype, sequence_length);
  const KvLayout layout = kv_layout(config, kv_dtype);
  const int64_t n_layers = config.num_hidden_layers + static_cast<int64_t>(weights.mtp.size());
  // Two sequences: what ended last stays in the prefix cache.
  const int64_t blocks = 2 * (sequence_length / kKvBlockRows + 2);
  FATHOM_TRY(KvPool kv,
             KvPool::create(layout, n_layers, blocks * KvPool::bytes_per_block(layout, n_layers)));
  return std::unique_ptr<RunEngine>(
      new RunEngine(config, weights, tokenizer, sequence_length, options, compute, std::move(kv)));
}

Status RunEngine::add_sequence(std::span<const int32_t> tokens, std::span<const uint8_t> mask,
                               Sums& sums) {
  const auto t = static_cast<int64_t>(mask.size());
  KvSequence kv(kv_, t);
  FATHOM_CHECK(kv.reserve(t), "the pool holds a sequence");
  const BatchSequence piece = {
      .tokens = tokens.first(mask.size()), .first_position = 0, .absorbed = false, .kv = &kv};
  const float* hidden = transformer_.forward({.sequences = {&piece, 1}});
  for (int64_t row = 0; row < t; row += kLogitRows) {
    const int64_t n = std::min(kLogitRows, t - row);
    std::array<int32_t, kLogitRows> rows = {};
    for (int64_t i = 0; i < n; ++i) rows[static_cast<size_t>(i)] = static_cast<int32_t>(row + i);
    transformer_.logits(hidden, {rows.data(), static_cast<size_t>(n)}, logits_.data());
    for (int64_t i = 0; i < n; ++i) {
      if (mask[static_cast<size_t>(row + i)] == 0) continue;
      const int32_t target = tokens[static_cast<size_t>(row + i + 1)];
      const std::span<const float> logits(logits_.data() + i * config_.vocab_size,
                                          static_cast<size_t>(config_.vocab_size));
      sums.nll -= static_cast<double>(token_logprob(transformer_.compute().isa, logits, target));
      ++sums.n_targets;
      if (tokenizer_ != nullptr && !tokenizer_->is_special(target))
        sums.n_bytes += static_cast<int64_t>(tokenizer_->token_bytes(target).size());
    }
  }
  return {};
}

Result<Evaluation> RunEngine::evaluate(const Sequence& sequence, int64_t n_sequences) {
  std::vector<int32_t> tokens(static_cast<size_t>(sequence_length_ + 1));
  std::vector<uint8_t> mask(static_cast<size_t>(sequence_length_));
  Sums sums;
  for (int64_t i = 0; i < n_sequences; ++i) {
    FATHOM_RETURN_IF_ERROR(sequence(i, tokens, mask));
    FATHOM_RETURN_IF_ERROR(add_sequence(tokens, mask, sums));
  }
  if (sums.n_targets == 0) return invalid_error("the held-out data hold no token to predict");
  Evaluation result;
  result.loss = sums.nll / static_cast<double>(sums.n_targets);
  if (sums.n_bytes > 0)
    result.bits_per_byte = sums.nll / std::numbers::ln2 / static_cast<double>(sums.n_bytes);
  return result;
}

Result<std::vector<int32_t>> RunEngine::prompt_tokens(const std::string& prompt) const {
  FATHOM_CHECK(tokenizer_ != nullptr, "samples need a tokenizer");
  std::vector<int32_t> ids =
      tokenizer_->encode(prompt, {.add_special = tokenizer_->add_bos_token()});
  if (ids.empty()) return invalid_error("a sample's prompt has no tokens");
  if (std::ssize(ids) >= sequence_length_)
    return invalid_error("the sample's prompt '", printable(prompt, 60), "' has ", ids.size(),
                         " tokens, and sequences have ", sequence_length_,
                         "; give a shorter one in sample.prompts");
  return ids;
}

Status RunEngine::check_prompts(const std::vector<std::string>& prompts) const {
  for (const std::string& prompt : prompts) {
    FATHOM_TRY([[maybe_unused]] const std::vector<int32_t> ids, prompt_tokens(prompt));
  }
  return {};
}

Result<std::vector<std::string>> RunEngine::sample(const std::vector<std::string>& prompts,
                                                   int64_t n_tokens, double temperature,
                                                   uint64_t seed) {
  FATHOM_CHECK(tokenizer_ != nullptr, "samples need a tokenizer");
  std::vector<int32_t> eos = config_.eos_token_id;
  if (eos.empty() && tokenizer_->eos_token_id()) eos.push_back(*tokenizer_->eos_token_id());
  // A new engine: nothing of an earlier state of the weights is kept.
  Engine engine(transformer_, kv_, tokenizer_,
                {.drafting = Drafting::kOff,
                 .context = sequence_length_,
                 .max_running = 1,
                 .prefill_rows = sequence_length_,
                 .eos_token_ids = eos});
  std::vector<std::string> texts;
  for (const std::string& prompt : prompts) {
    GenerateRequest request;
    FATHOM_TRY(request.prompt, prompt_tokens(prompt));
    request.max_tokens = std::min(n_tokens, sequence_length_ - std::ssize(request.prompt));
    request.sampling.temperature = temperature;
    request.sampling.seed = seed;
    TextSink sink;
    FATHOM_TRY([[maybe_unused]] const RequestId id, engine.submit(std::move(request), sink));
    while (!engine.idle()) engine.step();
    if (!sink.error.empty()) return invalid_error(sink.error);
    texts.push_back(prompt + sink.text);
  }
  return texts;
}

}  // namespace fathom
