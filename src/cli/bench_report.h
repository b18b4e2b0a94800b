// What `fathom bench` says, as text for people and as the JSON document of the command line's
// contract.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/bench.h"
#include "engine/draft_bench.h"
#include "engine/expert_cache.h"
#include "io/json.h"
#include "model/config.h"

namespace fathom::cli {

struct BenchMachine {
  std::string cpu;
  std::string isa;
  int threads = 0;
};

struct BenchModelFacts {
  std::string source;  // "the embedded model", "random weights of v3.json"
  ModelConfig config;  // as it ran
  int64_t n_mtp = 0;   // MTP modules that are there
  int64_t weight_bytes = 0;
  std::string activations, kv_dtype, attention;  // what the options came to
  double make_seconds = 0;                       // of random weights; 0: they come from files
  std::optional<ExpertCacheStats> streaming;     // where experts were read from disk
  double load_seconds = 0;  // from the files' names to ready to run, pages not read
};

// "Intel(R) Xeon(R) Processor, avx512, 2 threads" and what it reads and computes a second. Ends
// with a newline, as all.
std::string bench_machine_text(const BenchMachine& machine, const MachineLimits& limits);
std::string bench_model_text(const BenchModelFacts& model);
std::string bench_table_head();
std::string bench_table_row(const BenchResult& result);
std::string bench_drafts_text(const DraftBenchResult& drafts);
// The span of the limits over the run, and memory.
std::string bench_end_text(const std::vector<BenchResult>& results,
                           const std::optional<DraftBenchResult>& drafts,
                           int64_t peak_memory_bytes);

// The limits are the medians of all readings. peak_memory_bytes: the largest resident size, without
// the memory that the limits were measured on.
Json bench_json(const BenchMachine& machine, const BenchModelFacts& model,
                const std::vector<BenchResult>& results,
                const std::optional<DraftBenchResult>& drafts, int64_t peak_memory_bytes);

}  // namespace fathom::cli
