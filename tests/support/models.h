// The reference models that are there: those of the clone, and the full set where it stands beside
// the clone.
#pragma once

#include <string>
#include <vector>

namespace fathom::testing {

// Folders that hold a model and its reference.safetensors, each name once.
std::vector<std::string> reference_model_folders();
// The folder of one of them, "" if it is not there.
std::string reference_model_folder(const std::string& name);
// "v3-fp8" of ".../v3-fp8".
std::string base_name(const std::string& path);

}  // namespace fathom::testing
