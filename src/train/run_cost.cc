#include "train/run_cost.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "base/math.h"

namespace fathom {
namespace {

// Beyond, the number of steps is extrapolated from the last batch.
constexpr int64_t kStepsCounted = 10'000'000;

struct RunLength {
  int64_t steps = 0, tokens = 0, largest_batch = 0;
};

// To the run's end with steps of so many tokens, as far as a number reaches.
void extrapolate(const RunConfig& run, int64_t step_tokens, RunLength& length) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  int64_t more = run.steps > 0 ? run.steps - length.steps : kMax;
  if (run.tokens > 0) {
    const int64_t rest = std::max<int64_t>(0, run.tokens - length.tokens);
    more = std::min(more, rest / step_tokens + (rest % step_tokens > 0 ? 1 : 0));
  }
  length.steps += more;
  int64_t tokens = 0;
  const bool fits = checked_mul(more, step_tokens, &tokens) && tokens <= kMax - length.tokens;
  length.tokens = fits ? length.tokens + tokens : kMax;
}

RunLength run_length(const RunConfig& run) {
  RunLength length;
  int64_t last_batch = 0;
  while (length.steps < kStepsCounted && (run.steps == 0 || length.steps < run.steps) &&
         (run.tokens == 0 || length.tokens < run.tokens)) {
    const int64_t batch = batch_sequences(
        run.batch, {.step = length.steps + 1, .tokens = length.tokens}, run.micro_batch);
    length.tokens += batch * run.sequence_length;
    length.largest_batch = std::max(length.largest_batch, batch);
    ++length.steps;
    last_batch = batch;
  }
  if (length.steps == kStepsCounted) extrapolate(run, last_batch * run.sequence_length, length);
  return length;
}

int64_t trained_parameters(const ParameterCount& count) { return count.total + count.mtp_unique; }

RunMemory run_memory(const RunConfig& run, const ModelConfig& config, int64_t n,
                     int64_t largest_batch) {
  // Levels of the tree: as many as the number of micro-batches but one has binary digits.
  const auto n_before_last = static_cast<uint64_t>(largest_batch / run.micro_batch - 1);
  const auto levels = static_cast<int64_t>(std::bit_width(n_before_last));
  RunMemory memory;
  memory.masters = 4 * n;
  memory.gradients = 4 * n * (1 + levels);
  memory.moments = (run.optimizer.bf16_moments ? 4 : 8) * n;
  const WeightPrecision precision = run.precision == "fp8"    ? WeightPrecision::kFp8
                                    : run.precision == "bf16" ? WeightPrecision::kBf16
                                                              : WeightPrecision::kF32;
  memory.weights = count_bytes(stored_tensors(config, precision)).total;
  return memory;
}

}  // namespace

double training_flops_per_token(const ModelConfig& config, int64_t sequence_length) {
  const ParameterCount count = count_parameters(config);
  int64_t activated = count.activated_without_embedding;
  for (const ParameterItem& item : count.items) {
    if (item.mtp && !item.copy) activated += item.activated;
  }
  // Each MTP module runs the head once more.
  activated += config.num_nextn_predict_layers * config.vocab_size * config.hidden_size;
  const double keys = 0.5 * static_cast<double>(sequence_length + 1);  // a token's own and before
  const auto per_key = static_cast<double>(2 * config.num_attention_heads *
                                           (config.qk_head_dim() + config.v_head_dim));
  const auto layers = static_cast<double>(config.n_layers_stored());
  return 6.0 * static_cast<double>(activated) + 3.0 * layers * per_key * keys;
}

RunCost run_cost(const RunConfig& run, const ModelConfig& config) {
  RunCost cost;
  cost.parameters = count_parameters(config);
  cost.flops_per_token = training_flops_per_token(config, run.sequence_length);
  const RunLength length = run_length(run);
  cost.steps = length.steps;
  cost.tokens = length.tokens;
  cost.memory = run_memory(run, config, trained_parameters(cost.parameters), length.largest_batch);
  return cost;
}

}  // namespace fathom
