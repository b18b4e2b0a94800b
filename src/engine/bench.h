// Measures how fast a model runs, each number beside what this machine could do at most in the same
// minute. Two tests:
//   prefill  n_prompt tokens of one sequence after depth cached ones, in passes of at most
//   prefill_rows tokens, logits
//            of the last token only;
//   decode   one token of each of n_batch sequences, all at position depth, with logits of each.
//   Every step takes other
//            tokens, so that it needs other experts.
// The cached rows are random latents of unit size, written directly. Sampling and text are left
// out. Not here: printing (cli/bench_report.h), and the arithmetic of bytes and operations
// (engine/step_cost.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"
#include "engine/kv_cache.h"
#include "engine/step_cost.h"
#include "kernels/machine_limits.h"
#include "model/transformer.h"

namespace fathom {

struct BenchTest {
  enum class Kind : uint8_t { kPrefill, kDecode };
  Kind kind = Kind::kDecode;
  int64_t n_prompt = 0;  // of kPrefill
  int64_t n_batch = 1;   // sequences; 1 with kPrefill
  int64_t depth = 0;     // positions in the cache of each sequence before the step

  int64_t positions() const {
    return depth + (kind == Kind::kPrefill ? n_prompt : 1);
  }                                                                               // of a sequence
  int64_t tokens() const { return kind == Kind::kPrefill ? n_prompt : n_batch; }  // of a step
};

struct BenchOptions {
  int64_t repeat = 5;                   // runs of a test; its result is their median
  double seconds = 0.3;                 // of each of the machine's limits, and of a run at least
  int64_t prefill_rows = kPrefillRows;  // tokens of a prompt in one pass
  AttentionForm attention = AttentionForm::kAuto;
  uint64_t seed = 1;             // of tokens and latents
  std::function<void()> on_run;  // called after each run
};

enum class BenchLimit : uint8_t { kBandwidth, kCompute };

struct BenchResult {
  BenchTest test;
  double tokens_per_s = 0;   // the median of runs
  std::vector<double> runs;  // tokens per second
  int64_t steps_per_run = 0;
  // A step is a whole prompt, or a token of each sequence; averages over all steps.
  double seconds_per_step = 0;  // of the median run
  double bytes_per_step = 0;
  double ops_per_step = 0;
  double experts_per_step = 0;  // distinct ones that were read, summed over layers and passes
  MachineLimits before, after;
  double share_of_bandwidth = 0;  // bytes_per_step over what could be read in that time
  double share_of_peak = 0;       // ops_per_step over what could be computed in that time
  BenchLimit limit = BenchLimit::kBandwidth;  // the larger share: what the step is nearer to
};

// The peak of the arithmetic that the mode asks for: F32 with full activations, else BF16.
double peak_gflop_s(Activations activations, const MachineLimits& limits);

class Bench {
 public:
  // What the tests need of a transformer, and bytes of the caches that create() takes.
  static WorkspaceLimits limits(const std::vector<BenchTest>& tests, int64_t prefill_rows);
  static int64_t kv_bytes(const std::vector<BenchTest>& tests, const KvLayout& layout,
                          int64_t n_layers);

  // model has (at least) the limits of the tests; model and meter must outlive the bench.
  static Result<Bench> create(Transformer& model, Activations activations,
                              const MachineMeter& meter, const std::vector<BenchTest>& tests,
                              const BenchOptions& options);

  // One of the tests that create() was given. Fails if weights cannot be read.
  Result<BenchResult> run(const BenchTest& test);
  // The machine's limits now, in options.seconds each.
  MachineLimits measure() const;

 private:
  struct Step;
  Bench(Transformer& model, Activations activations, const MachineMeter& meter,
        const BenchOptions& options, KvPool pool);
  void fill_cache(KvSequence& kv, uint64_t key, int64_t n_positions) const;
  Status run_step(Step& step, StepCost& cost);

  Transformer& model_;
  Activations activations_;
  const MachineMeter& meter_;
  BenchOptions options_;
  std::unique_ptr<KvPool> pool_;  // sequences point at it
  Buffer<float> logits_;
};

}  // namespace fathom
