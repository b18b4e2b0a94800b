// fathom convert: the same weights in other files.
#include <memory>

#include "cli/commands.h"
#include "cli/convert_common.h"
#include "cli/convert_gguf.h"
#include "cli/quantize.h"
#include "io/files.h"
#include "io/model_files.h"
#include "io/output_folder.h"
#include "model/convert_shards.h"
#include "model/open_model.h"

namespace fathom::cli {

namespace {

constexpr uint64_t kModelParallelMax = 4096;

struct ConvertOptions {
  ConversionCommand command;
  int model_parallel = 0;  // 0: not asked for
  std::string to;          // safetensors, packed; empty: packed where --quantize makes it so
  QuantizeOptions quantize;
  std::optional<int64_t> shard_size;
  std::string config;
};

Result<ConversionPlan> plan_back(const ConvertOptions& options, const ModelFiles& files) {
  const std::string path =
      options.config.empty() ? join_path(files.folder(), "config.json") : options.config;
  if (options.config.empty() && !files.exists("config.json")) {
    return invalid_error(files.describe(),
                         " holds the demo's files but no config.json; name one with --config, as "
                         "published or as the demo's own");
  }
  FATHOM_TRY(const std::string text, read_file(path));
  return plan_from_model_parallel(files, text, path,
                                  options.shard_size.value_or(kDefaultShardBytes));
}

Result<ConversionPlan> make_plan(const ConvertOptions& options, const ModelFiles& files) {
  if (is_model_parallel(files)) {
    if (options.model_parallel > 0) {
      return invalid_error(files.describe(),
                           " holds the demo's files already; convert it back first, without "
                           "--model-parallel");
    }
    if (!options.quantize.format.empty()) {
      return invalid_error(files.describe(),
                           " holds the demo's files; convert it back first, without --quantize");
    }
    return plan_back(options, files);
  }
  FATHOM_TRY(const ConversionInput input, open_conversion_input(files));
  if (options.model_parallel > 0)
    return plan_model_parallel(input.config, input.checkpoint, options.model_parallel);
  const int64_t shard_bytes = options.shard_size.value_or(kDefaultShardBytes);
  if (!options.quantize.format.empty()) return plan_quantize(options.quantize, input, shard_bytes);
  if (options.to == "packed" && !input.config.packed_formats) {
    return usage_error(
        "--to packed needs --quantize int8 or int4: weights in ", files.describe(),
        " are read where they lie as they are, and have no packed form of their own");
  }
  return plan_reshard(input.config, input.checkpoint, shard_bytes);
}

Status check_usage(const ConvertOptions& options) {
  const bool quantizes = !options.quantize.format.empty();
  if (options.model_parallel > 0 && options.shard_size) {
    return usage_error(
        "--shard-size has no meaning with --model-parallel, which makes one file for each rank");
  }
  if (options.model_parallel > 0 && (quantizes || options.to == "packed"))
    return usage_error("the demo's files are not quantised; give --model-parallel alone");
  FATHOM_RETURN_IF_ERROR(check_quantize(options.quantize));
  if (quantizes && !options.to.empty() &&
      (options.to == "packed") != quantizes_to_packed(options.quantize)) {
    return usage_error("--quantize ", options.quantize.format, " makes ",
                       options.to == "packed" ? "files as published, not packed ones"
                                              : "packed files; leave out --to safetensors");
  }
  if (quantizes && options.shard_size && !quantizes_to_packed(options.quantize)) {
    return usage_error("--shard-size has no meaning with --quantize ", options.quantize.format,
                       ", which keeps the files of the input");
  }
  return {};
}

// Where a file of that kind is at either end.
Result<bool> run_gguf(const ConvertOptions& options) {
  const bool from = is_gguf_path(options.command.in);
  const bool to = options.to == "gguf" || (options.to.empty() && is_gguf_path(options.command.out));
  if (!from && !to) return false;
  if (options.model_parallel > 0 || !options.config.empty())
    return usage_error("--model-parallel and --config have no meaning with GGUF files");
  if (!options.quantize.perplexity.empty() || options.quantize.perplexity_tokens)
    return usage_error(
        "--perplexity has no meaning with GGUF files; measure them with `fathom score`");
  if (to) {
    FATHOM_RETURN_IF_ERROR(
        convert_to_gguf(options.command, options.quantize.format, options.shard_size));
    return true;
  }
  if (options.to == "packed" || !options.quantize.format.empty())
    return usage_error(
        "a GGUF file is converted to a folder as published first, without --to "
        "packed and --quantize");
  FATHOM_RETURN_IF_ERROR(
      convert_from_gguf(options.command, options.shard_size.value_or(kDefaultShardBytes)));
  return true;
}

Status run_convert(const ConvertOptions& options) {
  FATHOM_RETURN_IF_ERROR(check_paths(options.command));
  if (options.shard_size && *options.shard_size <= 0)
    return usage_error("--shard-size must be more than nothing");
  FATHOM_TRY(const bool done, run_gguf(options));
  if (done) return {};
  FATHOM_RETURN_IF_ERROR(check_usage(options));
  FATHOM_TRY(const ModelFiles files, ModelFiles::open_folder(options.command.in));
  FATHOM_RETURN_IF_ERROR(check_finished(files));
  FATHOM_TRY(const ConversionPlan plan, make_plan(options, files));
  // A text that cannot be read is said before hours of work, not after them.
  FATHOM_TRY(const std::optional<PerplexityText> text, read_perplexity(options.quantize, files));
  const bool quantizes = !options.quantize.format.empty();
  FATHOM_RETURN_IF_ERROR(
      carry_out(options.command, plan, files, quantizes ? "Quantising" : "Converting"));
  return quantizes ? finish_quantize(text, options.command) : Status();
}

}  // namespace

void add_convert(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<ConvertOptions>();
  add_conversion_options(app, options->command);
  app.add_option("--model-parallel", options->model_parallel,
                 "Write the official demo's files, one for each of N ranks; a folder of such files "
                 "is converted back "
                 "without this option")
      ->type_name("N")
      ->transform(whole_number(1, kModelParallelMax))
      ->default_str("files as published")
      ->group("Output");
  add_choice_option(app, "--to", options->to, {"safetensors", "packed", "gguf"}, "Kind of files")
      ->default_str("gguf if OUT ends so, packed with --quantize int8 or int4, else safetensors")
      ->group("Output");
  add_quantize_options(app, options->quantize);
  add_size_option(app, "--shard-size", options->shard_size, "Largest size of a file")
      ->default_str("5GB, of a GGUF file none")
      ->group("Output");
  app.add_option("--config", options->config, "The config of the demo's files")
      ->type_name("FILE")
      ->default_str("config.json in IN")
      ->group("Input");
  set_example(app, "fathom convert DeepSeek-V3 DeepSeek-V3-mp16 --model-parallel 16");
  invocation.run = [options] { return run_convert(*options); };
}

}  // namespace fathom::cli
