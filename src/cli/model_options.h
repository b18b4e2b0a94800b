// From the common options to a model that is ready to run.
#pragma once

#include <memory>

#include "cli/options.h"
#include "engine/loaded_model.h"

namespace fathom::cli {

LoadModelOptions load_options(const CommonOptions& common);
// Loads, passes on the model's notes to the log, and says how memory is divided if experts are
// streamed.
Result<std::unique_ptr<LoadedModel>> load(const LoadModelOptions& options);

// How streaming went, and the peak of memory; nothing if all weights were in memory.
void note_streaming(const LoadedModel& model);

}  // namespace fathom::cli
