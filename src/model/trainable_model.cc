#include "model/trainable_model.h"

#include <algorithm>
#include <numeric>

#include "kernels/adamw.h"
#include "kernels/elementwise.h"
#include "model/backward.h"
#include "model/tape.h"
#include "model/trained_weights.h"
#include "model/transformer.h"

namespace fathom {
namespace {

constexpr int64_t kHeadRows = 512;  // rows whose logits stand in memory at once

Activations activations_of(TrainingPrecision precision, bool ue8m0) {
  switch (precision) {
    case TrainingPrecision::kFp32:
      return Activations::kFull;
    case TrainingPrecision::kBf16:
      return Activations::kBf16;
    case TrainingPrecision::kFp8:
      break;
  }
  return ue8m0 ? Activations::kFp8Ue8m0 : Activations::kFp8;
}

// How the weights are stored: matrices as precision says, everything else beside them.
ModelConfig stored_config(ModelConfig config, TrainingPrecision precision) {
  config.packed_formats.reset();
  config.torch_dtype = precision == TrainingPrecision::kFp32 ? "float32" : "bfloat16";
  if (precision != TrainingPrecision::kFp8) {
    config.quantization_config.reset();
  } else if (!config.quantization_config) {
    config.quantization_config = QuantizationConfig{};
  }
  return config;
}

ModelOptions model_options(const ModelConfig& config, TrainingPrecision precision,
                           const TapeLimits& limits) {
  const bool ue8m0 = config.quantization_config && config.quantization_config->ue8m0;
  return {.activations = activations_of(precision, ue8m0),
          .kv_dtype = precision == TrainingPrecision::kFp32 ? KvDtype::kF32 : KvDtype::kBf16,
          .limits = {.max_rows = limits.max_rows(),
                     .max_sequences = limits.max_sequences,
                     .max_context = limits.sequence_length,
                     .max_logit_rows = kHeadRows}};
}

// The main model (0) or MTP module k (1 + k) of the micro-batch at hand. A stack's row is a
// position that has all the tokens it needs: module k leaves out the last k + 1.
struct Stack {
  std::vector<BatchSequence> sequences;
  std::vector<int32_t> targets;  // [rows]
  std::vector<uint8_t> mask;     // [rows]
  Buffer<float> hidden;          // [rows, hidden_size]: after model.norm or shared_head.norm
  Buffer<float> d_hidden;
  Buffer<float> input;  // MTP: the rows of the stack below that enter this one
  int64_t n_rows() const { return static_cast<int64_t>(targets.size()); }
};

}  // namespace

struct TrainableModel::Parts {
  Parts(const ModelConfig& stored, const TrainableOptions& options_in,
        std::unique_ptr<TrainedWeights> weights_in, Compute compute_in);

  void cut(std::span<const int32_t> tokens, std::span<const uint8_t> mask, int64_t n_sequences,
           bool with_mtp);
  void forward();
  double head(Stack& stack, double scale, const LossWeights& loss, LossSums& sums);
  BackwardStep step(const Stack& stack, const Batch& batch, const LossWeights& loss,
                    LossSums& sums);
  void lookup_backward(const Stack& stack, const float* d_rows);
  void main_backward(const LossWeights& loss, LossSums& sums);
  void mtp_backward(int64_t module, const LossWeights& loss, LossSums& sums);

  int64_t sequence_rows(size_t stack) const {
    return static_cast<int64_t>(stacks[stack].sequences[0].tokens.size());
  }
  float eps() const { return static_cast<float>(config.rms_norm_eps); }

  const ModelConfig config;
  const TrainableOptions options;
  const TapeLimits limits;
  const Compute compute;
  std::unique_ptr<TrainedWeights> weights;
  const ModelOptions model;
  Transformer transformer;
  Tape tape;
  BackwardWorkspace ws;
  std::vector<Stack> stacks;
  size_t n_stacks = 0;   // of the micro-batch: 1 without MTP
  Buffer<float> logits;  // [kHeadRows, vocab_size]
  LinearInput head_input;
  std::vector<double> row_loss;
  Buffer<float> d_x;                    // [rows, hidden_size]
  Buffer<float> concat, d_concat;       // [rows, 2 * hidden_size]
  std::vector<int32_t> tokens_of_rows;  // for the embedding's gradient
};

TrainableModel::Parts::Parts(const ModelConfig& stored, const TrainableOptions& options_in,
                             std::unique_ptr<TrainedWeights> weights_in, Compute compute_in)
    : config(stored),
      options(options_in),
      limits{options.max_sequences, options.sequence_length},
      compute(compute_in),
      weights(std::move(weights_in)),
      model(model_options(config, options.precision, limits)),
      transformer(config, weights->weights(), model, compute),
      tape(config, options.precision, transformer.kv_layout(), limits),
      ws(config, options.precision, transformer.attention_shape(), limits,
         compute.pool->n_threads()),
      logits(kHeadRows * config.vocab_size),
      head_input(kHeadRows, config.vocab_size),
      row_loss(kHeadRows) {
  transformer.set_tape(&tape);
  const int64_t rows = limits.max_rows(), n = config.hidden_size;
  for (int64_t k = 0; k <= config.num_nextn_predict_layers; ++k) {
    Stack stack;
    stack.hidden = Buffer<float>(rows * n);
    stack.d_hidden = Buffer<float>(rows * n);
    if (k > 0) stack.input = Buffer<float>(rows * n);
    stacks.push_back(std::move(stack));
  }
  d_x = Buffer<float>(rows * n);
  if (config.num_nextn_predict_layers > 0) {
    concat = Buffer<float>(rows * 2 * n);
    d_concat = Buffer<float>(rows * 2 * n);
  }
}

// Position p of stack s reads token p + s and predicts token p + s + 1.
void TrainableModel::Parts::cut(std::span<const int32_t> tokens, std::span<const uint8_t> mask,
                                int64_t n_sequences, bool with_mtp) {
  const size_t t = mask.size() / static_cast<size_t>(n_sequences);
  n_stacks = std::min(with_mtp ? stacks.size() : 1, t);
  for (size_t k = 0; k < n_stacks; ++k) {
    Stack& stack = stacks[k];
    stack.sequences.clear();
    stack.targets.clear();
    stack.mask.clear();
    for (size_t s = 0; s < static_cast<size_t>(n_sequences); ++s) {
      const auto sequence = tokens.subspan(s * (t + 1), t + 1);
      stack.sequences.push_back({.tokens = sequence.subspan(k, t - k),
                                 .first_position = 0,
                                 .absorbed = false,
                                 .kv = tape.kv(static_cast<int64_t>(s))});
      const auto targets = sequence.subspan(k + 1);
      const auto counts = mask.subspan(s * t + k, t - k);
      stack.targets.insert(stack.targets.end(), targets.begin(), targets.end());
      stack.mask.insert(stack.mask.end(), counts.begin(), counts.end());
    }
  }
}

void TrainableModel::Parts::forward() {
  const int64_t n = config.hidden_size;
  for (size_t k = 0; k < n_stacks; ++k) {
    Stack& stack = stacks[k];
    const Batch batch{stack.sequences};
    const float* hidden = nullptr;
    if (k == 0) {
      hidden = transformer.forward(batch);
    } else {
      // The last position of each sequence below has no token beside it.
      const int64_t length = sequence_rows(k);
      for (size_t s = 0; s < stack.sequences.size(); ++s)
        copy_or_clear(compute, &stack.input[static_cast<int64_t>(s) * length * n],
                      &stacks[k - 1].hidden[static_cast<int64_t>(s) * (length + 1) * n],
                      length * n);
      hidden = transformer.mtp_forward(static_cast<int64_t>(k) - 1, batch, stack.input.data());
    }
    copy_or_clear(compute, stack.hidden.data(), hidden, stack.n_rows() * n);
  }
}

// The sum of the cross-entropies of the stack's rows, in nats; d_hidden and the head's gradient, of
// `scale` times that sum.
double TrainableModel::Parts::head(Stack& stack, double scale, const LossWeights& loss,
                                   LossSums& sums) {
  const int64_t n = config.hidden_size, vocab = config.vocab_size;
  const LinearGradient& g = weights->model_gradients().lm_head;
  const Batch batch{stack.sequences};
  BackwardStep back = step(stack, batch, loss, sums);
  const auto gradient = static_cast<float>(scale * loss.gradient_scale);
  std::vector<int32_t> rows;
  double sum = 0;
  for (int64_t first = 0; first < stack.n_rows(); first += kHeadRows) {
    const int64_t n_rows = std::min(kHeadRows, stack.n_rows() - first);
    rows.resize(static_cast<size_t>(n_rows));
    std::iota(rows.begin(), rows.end(), static_cast<int32_t>(first));
    transformer.logits(stack.hidden.data(), rows, logits.data());
    compute.pool->parallel_for(n_rows, [&](int64_t i, int) {
      const auto at = static_cast<size_t>(first + i);
      const bool counts = stack.mask[at] != 0;
      const double entropy = cross_entropy_row(compute.isa, &logits[i * vocab], vocab,
                                               stack.targets[at], counts ? gradient : 0.0f);
      row_loss[static_cast<size_t>(i)] = counts ? entropy : 0;
    });
    for (int64_t i = 0; i < n_rows; ++i) sum += row_loss[static_cast<size_t>(i)];
    wgrad(back, logits.data(), f32_rows(&stack.hidden[first * n], n), n_rows, g);
    prepare_dgrad(back, logits.data(), n_rows, g, head_input);
    linear(compute, head_input, g.transposed, &stack.d_hidden[first * n], n);
  }
  return sum;
}

BackwardStep TrainableModel::Parts::step(const Stack& stack, const Batch& batch,
                                         const LossWeights& loss, LossSums& sums) {
  return {config,
          compute,
          options.precision,
          model.activations,
          transformer.attention_shape(),
          transformer.kv_layout(),
          transformer.rope(),
          batch,
          stack.n_rows(),
          tape,
          ws,
          loss,
          sums};
}

// d_rows [rows, hidden_size] of the embeddings that the stack looked up.
void TrainableModel::Parts::lookup_backward(const Stack& stack, const float* d_rows) {
  tokens_of_rows.clear();
  for (const BatchSequence& sequence : stack.sequences)
    tokens_of_rows.insert(tokens_of_rows.end(), sequence.tokens.begin(), sequence.tokens.end());
  scatter_add_rows(compute, tokens_of_rows, d_rows, config.hidden_size,
                   weights->model_gradients().embed_tokens);
}

void TrainableModel::Parts::main_backward(const LossWeights& loss, LossSums& sums) {
  const int64_t n = config.hidden_size;
  const Stack& stack = stacks[0];
  const Batch batch{stack.sequences};
  BackwardStep back = step(stack, batch, loss, sums);
  const ModelGradients& g = weights->model_gradients();
  const ModelWeights& w = weights->weights();
  rms_norm_backward(compute, tape.before_norm(0).data(), n, w.norm.data(), eps(),
                    stack.d_hidden.data(), n, d_x.data(), n, /*add=*/false, g.norm, stack.n_rows(),
                    n, ws.norm);
  for (int64_t i = config.num_hidden_layers - 1; i >= 0; --i)
    decoder_layer_backward(back, w.layers[static_cast<size_t>(i)], g.layers[static_cast<size_t>(i)],
                           i, d_x.data());
  lookup_backward(stack, d_x.data());
}

// What Transformer::mtp_forward does, from its end; adds to d_hidden of the stack below.
void TrainableModel::Parts::mtp_backward(int64_t module, const LossWeights& loss, LossSums& sums) {
  const int64_t n = config.hidden_size;
  const Stack& stack = stacks[static_cast<size_t>(module) + 1];
  const int64_t rows = stack.n_rows(), length = sequence_rows(static_cast<size_t>(module) + 1);
  const Batch batch{stack.sequences};
  BackwardStep back = step(stack, batch, loss, sums);
  const MtpGradients& g = weights->model_gradients().mtp[static_cast<size_t>(module)];
  const MtpWeights& w = weights->weights().mtp[static_cast<size_t>(module)];
  rms_norm_backward(compute, tape.before_norm(1 + module).data(), n, w.shared_head_norm.data(),
                    eps(), stack.d_hidden.data(), n, d_x.data(), n, /*add=*/false,
                    g.shared_head_norm, rows, n, ws.norm);
  decoder_layer_backward(back, w.layer, g.layer, config.num_hidden_layers + module, d_x.data());

  float* const embedding = ws.h.data();
  compute.pool->parallel_for(rows, [&](int64_t row, int) {
    const auto& tokens = stack.sequences[static_cast<size_t>(row / length)].tokens;
    weight_row(compute.isa, weights->weights().embed_tokens,
               tokens[static_cast<size_t>(row % length)], embedding + row * n);
  });
  rms_norm(compute, embedding, n, w.enorm.data(), eps(), concat.data(), 2 * n, rows, n);
  rms_norm(compute, stack.input.data(), n, w.hnorm.data(), eps(), concat.data() + n, 2 * n, rows,
           n);
  wgrad(back, d_x.data(), f32_rows(concat.data(), 2 * n), rows, g.eh_proj);
  dgrad(back, d_x.data(), rows, g.eh_proj, d_concat.data());
  rms_norm_backward(compute, embedding, n, w.enorm.data(), eps(), d_concat.data(), 2 * n,
                    d_x.data(), n, /*add=*/false, g.enorm, rows, n, ws.norm);
  lookup_backward(stack, d_x.data());
  rms_norm_backward(compute, stack.input.data(), n, w.hnorm.data(), eps(), d_concat.data() + n,
                    2 * n, d_x.data(), n, /*add=*/false, g.hnorm, rows, n, ws.norm);
  for (size_t s = 0; s < stack.sequences.size(); ++s) {
    const auto sequence = static_cast<int64_t>(s);
    add_in_place(compute,
                 &stacks[static_cast<size_t>(module)].d_hidden[sequence * (length + 1) * n],
                 d_x.data() + sequence * length * n, length * n);
  }
}

Result<std::unique_ptr<TrainableModel>> TrainableModel::create(const ModelConfig& config,
                                                               const TrainableOptions& options,
                                                               Compute compute) {
  FATHOM_CHECK(options.max_sequences > 0 && options.sequence_length > 0, options.max_sequences,
               " sequences of ", options.sequence_length);
  if (options.sequence_length > config.max_position_embeddings)
    return invalid_error("sequences of ", options.sequence_length,
                         " tokens are longer than the model's max_position_embeddings, ",
                         config.max_position_embeddings);
  const ModelConfig stored = stored_config(config, options.precision);
  FATHOM_TRY(std::unique_ptr<TrainedWeights> weights,
             TrainedWeights::create(stored, options, compute));
  return std::unique_ptr<TrainableModel>(
      new TrainableModel(std::make_unique<Parts>(stored, options, std::move(weights), compute)));
}

int64_t TrainableModel::activation_bytes(const ModelConfig& config, TrainingPrecision precision,
                                         int64_t max_sequences, int64_t sequence_length) {
  const int64_t rows = max_sequences * sequence_length, n = config.hidden_size;
  const int64_t heads = config.num_attention_heads;
  const int64_t q = heads * config.qk_head_dim(), v = heads * config.v_head_dim;
  const int64_t kv = heads * (config.qk_nope_head_dim + config.v_head_dim);
  const int64_t top_k = config.n_routed_experts > 0 ? config.num_experts_per_tok : 0;
  const int64_t mlp = std::max(config.intermediate_size,
                               (top_k + config.n_shared_experts) * config.moe_intermediate_size);
  const int64_t wide = precision == TrainingPrecision::kFp32   ? 4
                       : precision == TrainingPrecision::kBf16 ? 2
                                                               : 1;
  const int64_t tape = 4 * (2 * n + config.q_lora_rank + 2 * config.kv_row_size() +
                            config.n_routed_experts + 3 * top_k) +
                       2 * v + 2 * wide * mlp;
  const int64_t scratch = 4 * (16 * n + 4 * q + 3 * kv + 4 * v + 8 * mlp + 3 * top_k * n);
  return rows * (config.n_layers_stored() * tape + scratch) +
         2 * int64_t{4} * kHeadRows * config.vocab_size;
}

TrainableModel::TrainableModel(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
TrainableModel::~TrainableModel() = default;

const ModelConfig& TrainableModel::config() const { return parts_->config; }
const std::vector<TrainedTensor>& TrainableModel::tensors() const {
  return parts_->weights->tensors();
}
std::span<float> TrainableModel::values() { return parts_->weights->values(); }
std::span<float> TrainableModel::gradients() { return parts_->weights->gradients(); }
std::vector<std::span<float>> TrainableModel::router_biases() {
  return parts_->weights->router_biases();
}
void TrainableModel::weights_changed() { parts_->weights->refresh(); }
const ModelWeights& TrainableModel::weights() const { return parts_->weights->weights(); }
const Checkpoint& TrainableModel::checkpoint() const { return parts_->weights->checkpoint(); }

LossSums TrainableModel::forward_backward(std::span<const int32_t> tokens,
                                          std::span<const uint8_t> mask, int64_t n_sequences,
                                          const LossWeights& loss) {
  Parts& p = *parts_;
  const auto t = static_cast<int64_t>(mask.size()) / std::max<int64_t>(1, n_sequences);
  FATHOM_CHECK(n_sequences > 0 && n_sequences <= p.limits.max_sequences && t > 0 &&
                   t <= p.limits.sequence_length && t * n_sequences == std::ssize(mask) &&
                   (t + 1) * n_sequences == std::ssize(tokens),
               n_sequences, " sequences, ", tokens.size(), " tokens, ", mask.size(), " targets");
  LossSums sums;
  if (p.config.n_routed_experts > 0)
    sums.loads.assign(
        static_cast<size_t>(p.config.n_layers_stored() - p.config.first_k_dense_replace),
        std::vector<int64_t>(static_cast<size_t>(p.config.n_routed_experts)));
  p.cut(tokens, mask, n_sequences, loss.mtp_lambda > 0);
  p.forward();
  FATHOM_CHECK(loss.mtp_scales.size() + 1 >= p.n_stacks, loss.mtp_scales.size(),
               " scales of MTP modules");
  sums.main = loss.main_scale * p.head(p.stacks[0], loss.main_scale, loss, sums);
  const double depth = static_cast<double>(p.config.num_nextn_predict_layers);
  for (size_t k = 1; k < p.n_stacks; ++k) {
    const double scale = loss.mtp_scales[k - 1] / depth;
    sums.mtp += scale * p.head(p.stacks[k], scale * loss.mtp_lambda, loss, sums);
  }
  for (size_t k = p.n_stacks - 1; k > 0; --k)
    p.mtp_backward(static_cast<int64_t>(k) - 1, loss, sums);
  p.main_backward(loss, sums);
  return sums;
}

}  // namespace fathom
