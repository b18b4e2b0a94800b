#include "model/open_model.h"

#include <utility>

#include "io/files.h"
#include "io/gguf_parts.h"
#include "io/output_folder.h"
#include "io/printable.h"
#include "model/gguf_checkpoint.h"
#include "model/gguf_config.h"
#include "model/weights_check.h"

namespace fathom {

namespace {

struct GgufModel {
  GgufParts parts;
  GgufConfig config;
  ModelFiles files;
};
Result<GgufModel> open_gguf_model(const std::string& path) {
  FATHOM_TRY(GgufParts parts, open_gguf(path));
  const std::string name = printable(path);
  FATHOM_TRY(GgufConfig config, gguf_config(parts, name));
  // The metadata point into the first file, which they keep mapped.
  struct Owned {
    FileBytes bytes;
    GgufMetadata metadata;
  };
  auto owned = std::make_shared<const Owned>(Owned{parts.shards[0].bytes, parts.metadata});
  std::shared_ptr<const GgufMetadata> metadata(owned, &owned->metadata);
  ModelFiles files =
      ModelFiles::of_gguf(path,
                          {{"config.json", config.json.dump_pretty() + "\n"},
                           {"tokenizer_config.json", gguf_tokenizer_config(parts.metadata)}},
                          std::move(metadata));
  return GgufModel{std::move(parts), std::move(config), std::move(files)};
}

Result<ModelFiles> open_other_files(const std::string& path) {
  return path.empty() ? ModelFiles::embedded() : ModelFiles::open_folder(path);
}

}  // namespace

bool is_gguf_path(std::string_view path) {
  return path.ends_with(".gguf") && !is_directory(std::string(path));
}

Result<OpenedModel> open_model(const std::string& path) {
  if (is_gguf_path(path)) {
    FATHOM_TRY(GgufModel model, open_gguf_model(path));
    FATHOM_TRY(Checkpoint checkpoint, gguf_checkpoint(model.config.config, model.parts,
                                                      printable(path), model.config.notes));
    return OpenedModel{std::move(model.files), std::move(model.config.config),
                       std::make_shared<const Checkpoint>(std::move(checkpoint)),
                       std::move(model.config.notes)};
  }
  FATHOM_TRY(ModelFiles files, open_other_files(path));
  FATHOM_RETURN_IF_ERROR(check_finished(files));
  FATHOM_TRY(const FileBytes text, files.open_small("config.json", kSmallFileBytesMax));
  FATHOM_TRY(ModelConfig config, parse_model_config(text.text(), files.path_of("config.json")));
  FATHOM_TRY(Checkpoint checkpoint, Checkpoint::open(files));
  FATHOM_RETURN_IF_ERROR(name_packed_types(config, checkpoint));
  return OpenedModel{std::move(files),
                     std::move(config),
                     std::make_shared<const Checkpoint>(std::move(checkpoint)),
                     {}};
}

Result<ModelFiles> open_model_files(const std::string& path) {
  if (!is_gguf_path(path)) return open_other_files(path);
  FATHOM_TRY(GgufModel model, open_gguf_model(path));
  return std::move(model.files);
}

}  // namespace fathom
