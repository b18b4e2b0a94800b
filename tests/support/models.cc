#include "tests/support/models.h"

#include <algorithm>
#include <filesystem>
#include <set>

namespace fathom::testing {

namespace fs = std::filesystem;

std::string base_name(const std::string& path) { return fs::path(path).filename().string(); }

std::vector<std::string> reference_model_folders() {
  std::vector<std::string> folders;
  std::set<std::string> seen;
  for (const char* root : {FATHOM_SHARED "/reference/models", FATHOM_TESTDATA "/models"}) {
    if (!fs::is_directory(root)) continue;
    for (const auto& entry : fs::directory_iterator(root)) {
      if (fs::exists(entry.path() / "reference.safetensors") &&
          seen.insert(base_name(entry.path().string())).second) {
        folders.push_back(entry.path().string());
      }
    }
  }
  std::sort(folders.begin(), folders.end(),
            [](const auto& a, const auto& b) { return base_name(a) < base_name(b); });
  return folders;
}

std::string reference_model_folder(const std::string& name) {
  for (const std::string& folder : reference_model_folders()) {
    if (base_name(folder) == name) return folder;
  }
  return "";
}

}  // namespace fathom::testing
