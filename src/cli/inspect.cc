// fathom inspect: what a model is made of and what it needs, from its config alone or from its
// files.
#include <memory>
#include <utility>

#include "base/log.h"
#include "cli/commands.h"
#include "cli/inspect_report.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "io/checkpoint.h"
#include "io/checksums.h"
#include "io/files.h"
#include "io/model_files.h"
#include "io/printable.h"
#include "model/open_model.h"
#include "model/weights_check.h"

namespace fathom::cli {

namespace {

struct InspectOptions {
  CommonOptions common;
  std::string path;  // empty: the embedded model
  std::optional<int64_t> memory;
  bool tensors = false;
  bool json = false;
  bool verify = false;
};

Result<Inspection> inspect_config(const std::string& path) {
  FATHOM_TRY(const std::string text, read_file(path));
  Inspection out;
  out.source = printable(path);
  FATHOM_TRY(out.config, parse_model_config(text, out.source));
  for (TensorSpec& spec : stored_tensors(out.config, WeightPrecision::kAsConfigured)) {
    out.tensors.push_back({std::move(spec), {}});
  }
  return out;
}

// Compares every file whose checksum is known; what was done, in one sentence.
Result<std::string> verify_files(const ModelFiles& files, const Checkpoint& checkpoint) {
  FATHOM_TRY(const std::vector<std::string> names, files.list());
  FATHOM_TRY(const std::vector<FileChecksum> known, known_checksums(files, names));
  int64_t n_weight_files = 0;
  Progress progress("verifying", static_cast<int64_t>(known.size()), "files");
  for (size_t i = 0; i < known.size(); ++i) {
    progress.update(static_cast<int64_t>(i));
    FATHOM_RETURN_IF_ERROR(verify_checksum(files, known[i]));
    for (const Shard& shard : checkpoint.shards())
      n_weight_files += shard.name == known[i].name ? 1 : 0;
  }
  if (known.empty()) return std::string("no FP8 weight is NaN; no file's checksum is known");
  return str_cat("no FP8 weight is NaN; ", n_weight_files, " of ", checkpoint.shards().size(),
                 " files of weights and ", static_cast<int64_t>(known.size()) - n_weight_files,
                 " others have a known checksum, and it is right");
}

Result<Inspection> inspect_files(const std::string& path, bool verify) {
  FATHOM_TRY(OpenedModel opened, open_model(path));
  const ModelFiles& files = opened.files;
  const Checkpoint& checkpoint = *opened.checkpoint;
  Inspection out;
  out.source = files.describe();
  out.from_files = true;
  out.config = std::move(opened.config);
  for (const std::string& note : opened.notes) log(LogLevel::kWarning, note);
  FATHOM_TRY(const CheckedTensors checked,
             check_tensors(out.config, checkpoint, {.verify_weights = verify}));
  for (const std::string& note : checked.notes) log(LogLevel::kWarning, note);
  if (verify) {
    FATHOM_TRY(out.verified, verify_files(files, checkpoint));
  }
  out.config.num_nextn_predict_layers =
      checked.n_mtp;  // what is there, not what the config promises
  for (const CheckpointTensor& entry : checkpoint.tensors()) {
    out.tensors.push_back({{entry.name, entry.tensor.dtype, entry.tensor.shape},
                           checkpoint.shards()[entry.shard].name});
  }
  return out;
}

Result<Inspection> inspect(const std::string& path, bool verify) {
  if (path.empty() || is_directory(path) || is_gguf_path(path)) return inspect_files(path, verify);
  if (verify) {
    return usage_error("--verify reads the files of a model; ", printable(path), " is no folder");
  }
  if (path.ends_with(".safetensors")) {
    return invalid_error(printable(path),
                         " holds tensors but no config; name the folder it stands in");
  }
  return inspect_config(path);
}

Status run_inspect(const InspectOptions& options) {
  FATHOM_TRY(Inspection inspection, inspect(options.path, options.verify));
  inspection.parameters = count_parameters(inspection.config);
  inspection.memory_is_this_machines = !options.memory;
  inspection.memory_bytes = options.memory.value_or(machine_memory_bytes());
  if (options.json) return standard_output().write(inspection_json(inspection).dump() + "\n");
  return standard_output().write(inspection_text(inspection, options.tensors));
}

}  // namespace

void add_inspect(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<InspectOptions>();
  app.add_option("PATH", options->path,
                 "A config.json, a folder of weights as published, or a .gguf file")
      ->default_str("the embedded model");
  app.add_flag("--tensors", options->tensors, "List every tensor: name, type, shape, bytes, file")
      ->group("Output");
  app.add_flag("--json", options->json, "One JSON document, tensors included")->group("Output");
  app.add_flag("--verify", options->verify,
               "Read everything once: NaN codes in FP8 weights, copies that differ, and the "
               "checksums of files where "
               "they are known (SHA256SUMS, or a hub's cache)");
  add_size_option(app, "--memory", options->memory,
                  "The memory that things are to fit into, as in 512GiB")
      ->default_str("this machine's")
      ->group("Output");
  add_common_options(app, options->common, 0);
  set_example(app, "fathom inspect DeepSeek-V3/config.json --memory 1TB");
  invocation.run = [options] { return run_inspect(*options); };
}

}  // namespace fathom::cli
