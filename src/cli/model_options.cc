#include "cli/model_options.h"

#include "cli/output.h"
#include "engine/machine.h"

namespace fathom::cli {

LoadModelOptions load_options(const CommonOptions& common) {
  return {.path = common.model,
          .n_threads = common.n_threads(),
          .isa = common.isa,
          .activations = common.activations,
          .kv_dtype = common.kv_dtype,
          .attention = common.attention,
          .drafts = common.drafts,
          .context = common.context,
          .max_memory = common.max_memory};
}

Result<std::unique_ptr<LoadedModel>> load(const LoadModelOptions& options) {
  auto model = load_model(options);
  if (model.ok()) {
    for (const std::string& note : (*model)->weights.notes) log_message(LogLevel::kWarning, note);
    if ((*model)->streamed != nullptr) print_note((*model)->streamed->plan());
  }
  return model;
}

void note_streaming(const LoadedModel& model) {
  if (model.streamed == nullptr) return;
  print_note(
      str_cat(model.streamed->report(), "; peak memory ", readable_bytes(peak_memory_bytes())));
}

}  // namespace fathom::cli
