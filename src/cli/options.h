// Options that several commands share, and the kinds of values that CLI11 does not know: sizes and
// choices.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/result.h"

namespace fathom::cli {

// What the common options said (spec: cli.md). "auto" is left for the model and the engine to
// decide.
struct CommonOptions {
  std::string model;  // a path; empty: the embedded default model
  int threads = 0;    // 0: not given; see n_threads()
  std::string isa = "auto";
  std::optional<int64_t> max_memory;  // bytes
  std::optional<int64_t> context;     // tokens, >= 1
  std::string activations = "auto";
  std::string kv_dtype = "auto";
  std::string attention = "auto";
  std::string drafts = "auto";
  std::optional<uint64_t> seed;
  std::string log_level = "warning";
  bool quiet = false;

  // threads, or the cores this process may use.
  int n_threads() const;
};

// Which of them a command takes; quiet, log_level are taken by all.
enum CommonGroup : unsigned {
  kModelOption = 1,     // --model
  kComputeOptions = 2,  // --threads --isa --activations --attention
  kCacheOptions = 4,    // --context --kv-dtype
  kMemoryOption = 8,    // --max-memory
  kSeedOption = 16,     // --seed
  kThreadsOption = 32,  // --threads alone
  kIsaOption = 64,      // --isa alone
  kDraftsOption = 128,  // --drafts
  kRunOptions = kModelOption | kComputeOptions | kCacheOptions | kMemoryOption | kSeedOption,
};

// Declares them. options must live until invocation.run is done. After the parse --quiet and
// --log-level are in force (this uses the app's parse_complete_callback).
void add_common_options(CLI::App& app, CommonOptions& options, unsigned groups);

// "16GiB" -> bytes. Decimal number, optional fraction, then nothing (bytes), B, KB MB GB TB (powers
// of 1000) or KiB MiB GiB TiB (of 1024), in any case, blanks before the unit allowed. At least 0,
// at most 2^63 - 1.
Result<int64_t> parse_size(std::string_view text);

// An option whose value is a size in bytes.
CLI::Option* add_size_option(CLI::App& app, const std::string& name, std::optional<int64_t>& bytes,
                             const std::string& description);

// An option whose value is one of choices, spelled exactly so; shown as a|b|c.
CLI::Option* add_choice_option(CLI::App& app, const std::string& name, std::string& value,
                               const std::vector<std::string>& choices,
                               const std::string& description);

// For ->check(): a finite number in [low, high].
CLI::Validator number_range(double low, double high);
// For ->transform() of any integer option: decimal digits only, in [low, high]. (CLI11 alone lets
// -1 wrap around and reads 010 as eight.)
CLI::Validator whole_number(uint64_t low = 0, uint64_t high = UINT64_MAX);

std::optional<LogLevel> log_level_from_name(std::string_view name);

}  // namespace fathom::cli
