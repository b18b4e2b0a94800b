// From the common options to a model that is ready to run.
#pragma once

#include <memory>

#include "cli/options.h"
#include "engine/loaded_model.h"

namespace fathom::cli {

LoadModelOptions load_options(const CommonOptions& common);
// Loads and passes on the model's notes to the log.
Result<std::unique_ptr<LoadedModel>> load(const LoadModelOptions& options);

}  // namespace fathom::cli
