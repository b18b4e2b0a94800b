// A model's config and tensors under published names, whatever holds them: a folder as published,
// the program's own model, or a GGUF file.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/checkpoint.h"
#include "io/model_files.h"
#include "model/config.h"

namespace fathom {

struct OpenedModel {
  ModelFiles files;
  ModelConfig config;
  std::shared_ptr<const Checkpoint> checkpoint;
  std::vector<std::string> notes;  // what a person should know, one sentence each
};

// Whether the path ends like a GGUF file's and is no folder; what it names may be missing.
bool is_gguf_path(std::string_view path);

// path: a folder, a .gguf file (the first of several parts), or empty for the embedded model.
Result<OpenedModel> open_model(const std::string& path);
// Without the tensors: what texts and the tokenizer are read from.
Result<ModelFiles> open_model_files(const std::string& path);

}  // namespace fathom
