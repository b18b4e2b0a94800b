#include "engine/bench.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/math.h"
#include "base/median.h"
#include "base/mix64.h"
#include "base/seconds_since.h"

namespace fathom {

namespace {

constexpr int64_t kStepsMax = 10'000;  // of a run

using Clock = std::chrono::steady_clock;

// Of unit variance, uniform.
float unit_value(uint64_t bits) {
  return (static_cast<float>(bits >> 40) * 0x1p-24f - 0.5f) * 3.4641016f;
}

double mean(double a, double b) { return 0.5 * (a + b); }

}  // namespace

double peak_gflop_s(Activations activations, const MachineLimits& limits) {
  if (activations == Activations::kInt8) return limits.int8_gop_s;
  return activations == Activations::kFull ? limits.fp32_gflop_s : limits.bf16_gflop_s;
}

// The sequences of a test and the tokens of its next step.
struct Bench::Step {
  BenchTest test;
  uint64_t key = 0;  // of the tokens; counts on from step to step
  std::vector<std::unique_ptr<KvSequence>> kv;
  std::vector<int32_t> tokens;
  std::vector<BatchSequence> sequences;
  std::vector<int32_t> logit_rows;
};

WorkspaceLimits Bench::limits(const std::vector<BenchTest>& tests, int64_t prefill_rows) {
  WorkspaceLimits limits{.max_rows = 1, .max_sequences = 1, .max_context = 1, .max_logit_rows = 1};
  for (const BenchTest& test : tests) {
    limits.max_rows =
        std::max({limits.max_rows, test.n_batch, std::min(test.n_prompt, prefill_rows)});
    limits.max_sequences = std::max(limits.max_sequences, test.n_batch);
    limits.max_context = std::max(limits.max_context, test.positions());
    limits.max_logit_rows = std::max(limits.max_logit_rows, test.n_batch);
  }
  return limits;
}

int64_t Bench::kv_bytes(const std::vector<BenchTest>& tests, const KvLayout& layout,
                        int64_t n_layers) {
  int64_t blocks = 1;
  for (const BenchTest& test : tests)
    blocks = std::max(blocks, test.n_batch * ceil_div(test.positions(), kKvBlockRows));
  return blocks * KvPool::bytes_per_block(layout, n_layers);
}

Result<Bench> Bench::create(Transformer& model, Activations activations, const MachineMeter& meter,
                            const std::vector<BenchTest>& tests, const BenchOptions& options) {
  const int64_t n_layers = model.n_kv_layers();
  FATHOM_TRY(KvPool pool, KvPool::create(model.kv_layout(), n_layers,
                                         kv_bytes(tests, model.kv_layout(), n_layers)));
  return Bench(model, activations, meter, options, std::move(pool));
}

Bench::Bench(Transformer& model, Activations activations, const MachineMeter& meter,
             const BenchOptions& options, KvPool pool)
    : model_(model),
      activations_(activations),
      meter_(meter),
      options_(options),
      pool_(std::make_unique<KvPool>(std::move(pool))),
      logits_(model.limits().max_logit_rows * model.config().vocab_size) {}

MachineLimits Bench::measure() const {
  return meter_.measure(model_.compute(),
                        std::max<int64_t>(1, std::llround(options_.seconds * 1000)));
}

void Bench::fill_cache(KvSequence& kv, uint64_t key, int64_t n_positions) const {
  const KvLayout& layout = model_.kv_layout();
  const int64_t row_values = layout.kv_lora_rank + layout.qk_rope_head_dim;
  const int64_t blocks_per_layer = ceil_div(n_positions, kKvBlockRows);
  model_.compute().pool->parallel_for(blocks_per_layer * model_.n_kv_layers(), [&](int64_t task,
                                                                                   int) {
    const int64_t layer = task / blocks_per_layer, block = task % blocks_per_layer;
    std::byte* const rows = kv.blocks(layer)[block];
    std::vector<float> values(static_cast<size_t>(row_values));
    const int64_t n_rows = std::min(kKvBlockRows, n_positions - block * kKvBlockRows);
    for (int64_t row = 0; row < n_rows; ++row) {
      const uint64_t first = key + static_cast<uint64_t>((task * kKvBlockRows + row) * row_values);
      for (int64_t i = 0; i < row_values; ++i) {
        values[static_cast<size_t>(i)] = unit_value(mix64(first + static_cast<uint64_t>(i)));
      }
      kv_write_row(model_.compute().isa, layout, values.data(), values.data() + layout.kv_lora_rank,
                   rows + row * layout.row_bytes());
    }
  });
}

Status Bench::run_step(Step& step, StepCost& cost) {
  const uint64_t vocab_size = static_cast<uint64_t>(model_.config().vocab_size);
  for (int32_t& token : step.tokens) token = static_cast<int32_t>(mix64(step.key++) % vocab_size);
  if (step.test.kind == BenchTest::Kind::kDecode) {
    const Batch batch{.sequences = step.sequences};
    const float* const hidden = model_.forward(batch, &cost);
    if (hidden == nullptr) return model_.expert_source()->status();
    cost.add_pass(batch, step.test.n_batch);
    model_.logits(hidden, step.logit_rows, logits_.data());
    return {};
  }
  for (int64_t begin = 0; begin < step.test.n_prompt; begin += options_.prefill_rows) {
    const int64_t n = std::min(options_.prefill_rows, step.test.n_prompt - begin);
    const bool last = begin + n == step.test.n_prompt;
    BatchSequence& sequence = step.sequences.front();
    sequence.tokens = std::span<const int32_t>(step.tokens)
                          .subspan(static_cast<size_t>(begin), static_cast<size_t>(n));
    sequence.first_position = step.test.depth + begin;
    const Batch batch{.sequences = step.sequences};
    const float* const hidden = model_.forward(batch, &cost);
    if (hidden == nullptr) return model_.expert_source()->status();
    cost.add_pass(batch, last ? 1 : 0);
    step.logit_rows.front() = static_cast<int32_t>(n - 1);
    if (last) model_.logits(hidden, step.logit_rows, logits_.data());
  }
  return {};
}

Result<BenchResult> Bench::run(const BenchTest& test) {
  BenchResult out;
  out.test = test;
  Step step{.test = test,
            .key = mix64(options_.seed),
            .kv = {},
            .tokens = {},
            .sequences = {},
            .logit_rows = {}};
  step.tokens.resize(static_cast<size_t>(test.tokens()));
  const bool generated = test.kind == BenchTest::Kind::kDecode;
  for (int64_t i = 0; i < test.n_batch; ++i) {
    step.kv.push_back(std::make_unique<KvSequence>(*pool_, test.positions()));
    FATHOM_CHECK(step.kv.back()->reserve(test.positions()), "positions ", test.positions());
    fill_cache(*step.kv.back(), mix64(options_.seed + static_cast<uint64_t>(i) + 1), test.depth);
    step.sequences.push_back(
        {.tokens = std::span<const int32_t>(step.tokens).subspan(static_cast<size_t>(i), 1),
         .first_position = test.depth,
         .absorbed = is_absorbed(options_.attention, generated),
         .kv = step.kv.back().get()});
    step.logit_rows.push_back(static_cast<int32_t>(i));
  }
  StepCost warm_up(model_.config(), model_.weights(), model_.kv_layout());
  FATHOM_RETURN_IF_ERROR(run_step(step, warm_up));  // once for pages, once for the clock
  const auto begin = Clock::now();
  FATHOM_RETURN_IF_ERROR(run_step(step, warm_up));
  const double estimate = std::max(seconds_since(begin), 1e-9);
  out.steps_per_run =
      std::clamp<int64_t>(std::llround(std::ceil(options_.seconds / estimate)), 1, kStepsMax);

  StepCost cost(model_.config(), model_.weights(), model_.kv_layout());
  out.before = measure();
  for (int64_t run = 0; run < options_.repeat; ++run) {
    const auto start = Clock::now();
    for (int64_t i = 0; i < out.steps_per_run; ++i) FATHOM_RETURN_IF_ERROR(run_step(step, cost));
    out.runs.push_back(static_cast<double>(out.steps_per_run * test.tokens()) /
                       seconds_since(start));
    if (options_.on_run) options_.on_run();
  }
  out.after = measure();

  const double n_steps = static_cast<double>(options_.repeat * out.steps_per_run);
  out.tokens_per_s = median(out.runs);
  out.seconds_per_step = static_cast<double>(test.tokens()) / out.tokens_per_s;
  out.bytes_per_step = static_cast<double>(cost.bytes()) / n_steps;
  out.ops_per_step = static_cast<double>(cost.ops()) / n_steps;
  out.experts_per_step = static_cast<double>(cost.experts()) / n_steps;
  const double read_gb_s = mean(out.before.read_gb_s, out.after.read_gb_s);
  const double peak =
      mean(peak_gflop_s(activations_, out.before), peak_gflop_s(activations_, out.after));
  out.share_of_bandwidth = out.bytes_per_step / (out.seconds_per_step * read_gb_s * 1e9);
  out.share_of_peak = out.ops_per_step / (out.seconds_per_step * peak * 1e9);
  out.limit =
      out.share_of_bandwidth >= out.share_of_peak ? BenchLimit::kBandwidth : BenchLimit::kCompute;
  return out;
}

}  // namespace fathom
