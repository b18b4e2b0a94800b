#include "cli/convert_common.h"

#include <algorithm>

#include "base/log.h"
#include "cli/inspect_report.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "io/files.h"
#include "io/printable.h"

namespace fathom::cli {

namespace {

constexpr int64_t kDefaultMemory = int64_t{1} << 30;
// Beside the scratch: names and shapes of tensors, a file's header, pages of the input between
// reading and letting go.
constexpr int64_t kScratchShare = 4;
constexpr int64_t kScratchBytesMin = int64_t{256} << 10;
constexpr int64_t kScratchBytesMax = int64_t{64} << 20;

}  // namespace

void add_conversion_options(CLI::App& app, ConversionCommand& command) {
  app.add_option("IN", command.in, "The weights to read, a folder or a .gguf file")->required();
  app.add_option("OUT", command.out,
                 "The folder or .gguf file to write; a run that was stopped goes on with the "
                 "files that are missing")
      ->required();
  app.add_flag("--verify", command.verify,
               "Read every file again from the disk and compare checksums")
      ->group("Output");
  app.add_flag("--force", command.force,
               "Write into a folder that is not empty, where a model is replaced, or over files "
               "that exist")
      ->group("Output");
  add_common_options(app, command.common, kThreadsOption);
  add_size_option(app, "--max-memory", command.common.max_memory, "Memory to work in, as in 256MiB")
      ->default_str("1GiB")
      ->group("Computation");
}

Status check_paths(const ConversionCommand& command) {
  if (command.in.empty()) return usage_error("IN is empty, expected the path of a model");
  if (command.out.empty())
    return usage_error("OUT is empty, expected the path of a folder or a .gguf file to make");
  for (const std::string& path : {command.in, command.out}) {
    if (path == "-")
      return usage_error(
          "- is no model here: files are mapped and written at several places at once; give the "
          "path of a folder or a .gguf file (./- for one that is called so)");
  }
  return {};
}

Result<ConversionInput> open_conversion_input(const ModelFiles& files) {
  ConversionInput input;
  FATHOM_TRY(const FileBytes config, files.open_small("config.json", kSmallFileBytesMax));
  FATHOM_TRY(input.config, parse_model_config(config.text(), files.path_of("config.json")));
  FATHOM_TRY(Checkpoint checkpoint, Checkpoint::open(files));
  FATHOM_RETURN_IF_ERROR(name_packed_types(input.config, checkpoint));
  input.checkpoint = std::make_shared<const Checkpoint>(std::move(checkpoint));
  return input;
}

Result<int64_t> scratch_bytes(const ConversionCommand& command, int64_t scratch_bytes_min) {
  const int64_t scratch = std::min(
      command.common.max_memory.value_or(kDefaultMemory) / kScratchShare, kScratchBytesMax);
  const int64_t scratch_min = std::max(scratch_bytes_min, kScratchBytesMin);
  if (scratch >= scratch_min) return scratch;
  return exhausted_error("--max-memory is too little: these weights need at least ",
                         scratch_min * kScratchShare, " bytes");
}

Status carry_out(const ConversionCommand& command, const ConversionPlan& plan,
                 const ModelFiles& files, const std::string& label) {
  for (const std::string& note : plan.notes) log(LogLevel::kWarning, note);
  FATHOM_TRY(const int64_t scratch, scratch_bytes(command, plan.scratch_bytes_min));
  const int64_t total = plan.total_bytes();
  Progress progress(label, total, "bytes");
  const InterruptScope scope;
  ConversionOptions options;
  options.n_threads = command.common.n_threads();
  options.scratch_bytes = scratch;
  options.force = command.force;
  options.verify = command.verify;
  options.go_on = [&](int64_t done) {
    progress.update(done);
    return !interrupted();
  };
  FATHOM_TRY(const ConversionResult result, run_conversion(plan, files, command.out, options));
  progress.hide();
  if (quiet()) return {};
  std::string line =
      str_cat(printable(command.out), ": ", result.n_files,
              result.n_files == 1 ? " file, " : " files, ", human_bytes(result.bytes));
  if (result.n_files_before > 0)
    str_append(line, " (", result.n_files_before, " of them from the run before)");
  print_error(line + (command.verify ? ", checksums verified" : ""));
  return {};
}

}  // namespace fathom::cli
