#include "model/transformer.h"

#include <algorithm>
#include <cstring>

#include "kernels/elementwise.h"
#include "model/step.h"

namespace fathom {

KvLayout kv_layout(const ModelConfig& config, KvDtype dtype) {
  return {.dtype = dtype,
          .kv_lora_rank = config.kv_lora_rank,
          .qk_rope_head_dim = config.qk_rope_head_dim};
}

Transformer::Transformer(const ModelConfig& config, const ModelWeights& weights,
                         const ModelOptions& options, Compute compute)
    : config_(config),
      weights_(weights),
      options_(options),
      compute_(compute),
      kv_layout_(fathom::kv_layout(config, options.kv_dtype)),
      attention_shape_{.n_heads = config.num_attention_heads,
                       .qk_nope_head_dim = config.qk_nope_head_dim,
                       .qk_rope_head_dim = config.qk_rope_head_dim,
                       .v_head_dim = config.v_head_dim,
                       .kv_lora_rank = config.kv_lora_rank,
                       .softmax_scale = softmax_scale(config)},
      rope_(config, options.limits.max_context),
      ws_(config, kv_layout_, options.limits, compute.pool->n_threads()) {}

void Transformer::begin(const Batch& batch) {
  if (experts_ != nullptr) experts_->begin_pass();
  FATHOM_CHECK(static_cast<int64_t>(batch.sequences.size()) <= options_.limits.max_sequences,
               batch.sequences.size(), " sequences");
  int64_t row = 0;
  for (size_t s = 0; s < batch.sequences.size(); ++s) {
    const BatchSequence& sequence = batch.sequences[s];
    for (size_t i = 0; i < sequence.tokens.size(); ++i, ++row) {
      FATHOM_CHECK(row < options_.limits.max_rows, "rows ", batch.n_rows());
      ws_.row_position[row] = sequence.first_position + static_cast<int64_t>(i);
      ws_.row_sequence[row] = static_cast<int32_t>(s);
    }
    const int64_t end = sequence.first_position + static_cast<int64_t>(sequence.tokens.size());
    FATHOM_CHECK(end <= rope_.n_positions(), "first_position ", sequence.first_position);
    rope_.reach(end);
  }
}

Step Transformer::step(const Batch& batch, ForwardObserver* observer) {
  return {config_,
          compute_,
          options_.activations,
          attention_shape_,
          kv_layout_,
          rope_,
          batch,
          batch.n_rows(),
          ws_,
          observer,
          experts_,
          tape_};
}

void Transformer::embed(const Batch& batch, float* x) {
  int64_t row = 0;
  for (const BatchSequence& sequence : batch.sequences) {
    for (const int32_t token : sequence.tokens) {
      FATHOM_CHECK(token >= 0 && token < config_.vocab_size, "token ", token);
      float* const out = x + row * config_.hidden_size;
      if (experts_ == nullptr) {
        weight_row(compute_.isa, weights_.embed_tokens, token, out);
      } else {
        weight_row(compute_.isa, experts_->embedding_row(token), 0, out);
      }
      ++row;
    }
  }
}

const float* Transformer::forward(const Batch& batch, ForwardObserver* observer) {
  begin(batch);
  const int64_t n_rows = batch.n_rows();
  Step step = this->step(batch, observer);
  float* const x = ws_.x.data();
  embed(batch, x);
  for (int64_t layer = 0; layer < config_.num_hidden_layers; ++layer) {
    if (!decoder_layer(step, weights_.layers[static_cast<size_t>(layer)], layer, x)) return nullptr;
    if (observer != nullptr) observer->on_layer(layer, x, n_rows);
  }
  if (tape_ != nullptr) keep(step, x, tape_->before_norm(0), config_.hidden_size);
  rms_norm(compute_, x, config_.hidden_size, weights_.norm.data(),
           static_cast<float>(config_.rms_norm_eps), ws_.hidden.data(), config_.hidden_size, n_rows,
           config_.hidden_size);
  return ws_.hidden.data();
}

// h' = eh_proj [enorm(embedding); hnorm(hidden)], one decoder layer, shared_head.norm (report §2.2;
// the released weights take the embedding first, the report's formula writes the hidden state
// first).
const float* Transformer::mtp_forward(int64_t module, const Batch& batch, const float* hidden,
                                      ForwardObserver* observer) {
  FATHOM_CHECK(module < n_mtp_modules(), "module ", module);
  begin(batch);
  const MtpWeights& w = weights_.mtp[static_cast<size_t>(module)];
  const int64_t n_rows = batch.n_rows();
  const int64_t hidden_size = config_.hidden_size;
  const float eps = static_cast<float>(config_.rms_norm_eps);
  Step step = this->step(batch, observer);
  float* const x = ws_.x.data();
  float* const concat = ws_.concat.data();
  embed(batch, x);
  rms_norm(compute_, x, hidden_size, w.enorm.data(), eps, concat, 2 * hidden_size, n_rows,
           hidden_size);
  rms_norm(compute_, hidden, hidden_size, w.hnorm.data(), eps, concat + hidden_size,
           2 * hidden_size, n_rows, hidden_size);
  project(step, concat, 2 * hidden_size, 2 * hidden_size, {{w.eh_proj, x, hidden_size}});
  if (!decoder_layer(step, w.layer, config_.num_hidden_layers + module, x)) return nullptr;
  if (observer != nullptr) observer->on_layer(config_.num_hidden_layers + module, x, n_rows);
  if (tape_ != nullptr) keep(step, x, tape_->before_norm(1 + module), hidden_size);
  rms_norm(compute_, x, hidden_size, w.shared_head_norm.data(), eps, ws_.hidden.data(), hidden_size,
           n_rows, hidden_size);
  return ws_.hidden.data();
}

void Transformer::logits(const float* hidden, std::span<const int32_t> rows, float* logits) {
  const int64_t n = static_cast<int64_t>(rows.size());
  FATHOM_CHECK(n <= options_.limits.max_logit_rows, "logits of ", n, " rows");
  for (int64_t i = 0; i < n; ++i) {
    std::memcpy(&ws_.head_in[i * config_.hidden_size],
                hidden + int64_t{rows[i]} * config_.hidden_size,
                static_cast<size_t>(config_.hidden_size) * sizeof(float));
  }
  ws_.input.prepare(compute_, ws_.head_in.data(), config_.hidden_size, n, config_.hidden_size,
                    input_format(options_.activations, weights_.lm_head.dtype));
  linear(compute_, ws_.input, weights_.lm_head, logits, config_.vocab_size);
}

}  // namespace fathom
