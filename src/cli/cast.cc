// fathom cast: the same weights in another precision.
#include <memory>

#include "cli/commands.h"
#include "cli/convert_common.h"
#include "io/model_files.h"
#include "io/output_folder.h"
#include "model/convert_cast.h"

namespace fathom::cli {

namespace {

struct CastOptions {
  ConversionCommand command;
  std::string to;
  std::string scale_fmt = "float";
};

Status run_cast(const CastOptions& options) {
  if (options.to == "bf16" && options.scale_fmt != "float") {
    return usage_error("--scale-fmt has no meaning with --to bf16, which has no scales");
  }
  FATHOM_RETURN_IF_ERROR(check_paths(options.command));
  FATHOM_TRY(const ModelFiles files, ModelFiles::open_folder(options.command.in));
  FATHOM_RETURN_IF_ERROR(check_finished(files));
  FATHOM_TRY(const ConversionInput input, open_conversion_input(files));
  Result<ConversionPlan> plan =
      options.to == "bf16"
          ? plan_cast_to_bf16(input.config, input.checkpoint)
          : plan_cast_to_fp8(input.config, input.checkpoint, options.scale_fmt == "ue8m0");
  if (!plan.ok()) return std::move(plan).error();
  return carry_out(options.command, *plan, files, "Casting");
}

}  // namespace

void add_cast(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<CastOptions>();
  add_conversion_options(app, options->command);
  add_choice_option(app, "--to", options->to, {"bf16", "fp8"}, "Precision of the matrices")
      ->required()
      ->group("Output");
  add_choice_option(app, "--scale-fmt", options->scale_fmt, {"float", "ue8m0"},
                    "Scales of FP8 blocks: any number, or powers of two as in V3.1")
      ->group("Output");
  set_example(app, "fathom cast DeepSeek-V3 DeepSeek-V3-bf16 --to bf16");
  invocation.run = [options] { return run_cast(*options); };
}

}  // namespace fathom::cli
