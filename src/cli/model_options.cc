#include "cli/model_options.h"

namespace fathom::cli {

LoadModelOptions load_options(const CommonOptions& common) {
  return {.path = common.model,
          .n_threads = common.n_threads(),
          .isa = common.isa,
          .activations = common.activations,
          .kv_dtype = common.kv_dtype,
          .attention = common.attention,
          .context = common.context,
          .max_memory = common.max_memory};
}

Result<std::unique_ptr<LoadedModel>> load(const LoadModelOptions& options) {
  auto model = load_model(options);
  if (model.ok()) {
    for (const std::string& note : (*model)->weights.notes) log_message(LogLevel::kWarning, note);
  }
  return model;
}

}  // namespace fathom::cli
