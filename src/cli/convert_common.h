// What `fathom convert` and `fathom cast` share: opening the input, the options of a run, carrying
// out a plan with progress, Ctrl-C and a closing line.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "cli/options.h"
#include "io/checkpoint.h"
#include "model/config.h"
#include "model/conversion.h"

namespace fathom::cli {

struct ConversionCommand {
  CommonOptions common;
  std::string in;
  std::string out;
  bool force = false;
  bool verify = false;
};
// IN, OUT, --threads, --max-memory, --force, --verify.
void add_conversion_options(CLI::App& app, ConversionCommand& command);

// Whether OUT is a place where files can be made; wrong usage.
Status check_paths(const ConversionCommand& command);

struct ConversionInput {
  ModelConfig config;
  std::shared_ptr<const Checkpoint> checkpoint;
};
Result<ConversionInput> open_conversion_input(const ModelFiles& files);

// The scratch that --max-memory leaves room for; an error if that is less than scratch_bytes_min.
Result<int64_t> scratch_bytes(const ConversionCommand& command, int64_t scratch_bytes_min);

// label is what the progress bar says.
Status carry_out(const ConversionCommand& command, const ConversionPlan& plan,
                 const ModelFiles& files, const std::string& label);

}  // namespace fathom::cli
