#include "train/run_cost.h"

#include <algorithm>
#include <bit>

namespace fathom {
namespace {

// Beyond, the number of steps is extrapolated from the last batch.
constexpr int64_t kStepsCounted = 10'000'000;

struct RunLength {
  int64_t steps = 0, tokens = 0, largest_batch = 0;
};

RunLength run_length(const RunConfig& run) {
  RunLength length;
  while (length.steps < kStepsCounted && (run.steps == 0 || length.steps < run.steps) &&
         (run.tokens == 0 || length.tokens < run.tokens)) {
    const int64_t batch = batch_sequences(
        run.batch, {.step = length.steps + 1, .tokens = length.tokens}, run.micro_batch);
    length.tokens += batch * run.sequence_length;
    length.largest_batch = std::max(length.largest_batch, batch);
    ++length.steps;
  }
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
