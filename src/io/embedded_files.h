// The model inside the program. Its bytes are a library of their own (fathom_embedded,
// cmake/FathomEmbed.cmake), which only programs link; they hand the list to register_embedded_model
// (io/model_files.h).
#pragma once

#include <span>

#include "io/model_files.h"

namespace fathom {

std::span<const EmbeddedFile> default_model_files();

}  // namespace fathom
