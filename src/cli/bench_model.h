// The model that `fathom bench` measures: from files, or random weights of a config made in memory.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/bench_report.h"
#include "cli/options.h"
#include "engine/bench.h"
#include "engine/draft_bench.h"
#include "engine/streamed_weights.h"

namespace fathom::cli {

struct RandomModelOptions {
  std::string config;  // path of a config.json; empty: the model comes from files
  std::string layers;  // DENSE+MOE; empty: all
  std::string format;  // bf16, fp8, int8 or int4
  std::optional<int64_t> vocab_size;
  bool mtp = false;
  std::string save;  // a folder; empty: kept in memory only
  bool force = false;
};

struct BenchModelOptions {
  CommonOptions common;
  RandomModelOptions random;
  uint64_t seed = 1;
  int64_t prefill_rows = kPrefillRows;
  std::optional<DraftBenchOptions> drafts;  // to be measured too
  int64_t meter_bytes = 0;                  // memory that the meter of the machine's limits holds
};

// On the heap, since its parts point at each other.
struct BenchModel {
  BenchModelFacts facts;
  ModelWeights weights;
  Activations activations = Activations::kBf16;
  AttentionForm attention = AttentionForm::kAuto;
  std::unique_ptr<StreamedWeights> streamed;  // null: all weights are in memory or mapped
  std::unique_ptr<Transformer> transformer;
};

// Which tests run is decided by choose_tests, which is given the context that the model allows: an
// error is passed on.
using ChooseTests = std::function<Result<std::vector<BenchTest>>(int64_t context)>;
Result<std::unique_ptr<BenchModel>> load_bench_model(const BenchModelOptions& options,
                                                     const Compute& compute,
                                                     const ChooseTests& choose_tests,
                                                     std::vector<BenchTest>& tests);

}  // namespace fathom::cli
