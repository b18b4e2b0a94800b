// The files of a model, wherever they are: a folder as published (also one of symbolic links, as a
// hub's cache is made), a model inside the program, or one that was made in memory. Names are plain
// file names: a '/', "..", or NUL in one is refused, so that an index cannot reach outside the
// folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "io/gguf.h"
#include "io/mapped_file.h"

namespace fathom {

struct EmbeddedFile {
  std::string_view name;
  std::span<const std::byte> bytes;  // static memory, aligned to 64 bytes
};

// Makes the files the program's own model; the span must live as long as the program. Called by
// main before anything else, so that the libraries do not depend on what is embedded.
void register_embedded_model(std::span<const EmbeddedFile> files);

// The bytes of one file; copies share what keeps them alive.
class FileBytes {
 public:
  FileBytes() = default;
  FileBytes(std::span<const std::byte> bytes, std::shared_ptr<const void> owner)
      : bytes_(bytes), owner_(std::move(owner)) {}
  explicit FileBytes(std::shared_ptr<const MappedFile> file)
      : bytes_(file->bytes()), owner_(file), mapped_(file.get()) {}
  std::span<const std::byte> bytes() const { return bytes_; }
  std::string_view text() const {
    return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
  }
  // These bytes, and every copy made from now on, keep that alive too.
  void also_keep(std::shared_ptr<const void> memory) {
    using Both = std::pair<std::shared_ptr<const void>, std::shared_ptr<const void>>;
    owner_ = std::make_shared<const Both>(std::move(owner_), std::move(memory));
  }
  // The file that the bytes are; null if they are no file's.
  const MappedFile* mapped() const { return mapped_; }

 private:
  std::span<const std::byte> bytes_;
  std::shared_ptr<const void> owner_;  // a mapping; null for static memory
  const MappedFile* mapped_ = nullptr;
};

class ModelFiles {
 public:
  // path names a folder; its contents are not examined yet.
  static Result<ModelFiles> open_folder(const std::string& path);
  static bool has_embedded();
  // The program's own model; an error that says so if it was built without one.
  static Result<ModelFiles> embedded();
  // No files on disk: what stands for them where a model was made in memory. name is for messages:
  // "random weights of v3.json".
  static ModelFiles in_memory(std::string name);
  // A GGUF file: name is its path, texts what its metadata say in the form of a folder's small
  // files.
  static ModelFiles of_gguf(std::string name, std::map<std::string, std::string, std::less<>> texts,
                            std::shared_ptr<const GgufMetadata> metadata);

  bool is_embedded() const { return folder_.empty() && memory_name_.empty(); }
  bool is_in_memory() const { return !memory_name_.empty(); }
  // Null if this is no GGUF file.
  const std::shared_ptr<const GgufMetadata>& gguf_metadata() const { return gguf_; }
  bool exists(std::string_view name) const;
  Result<FileBytes> open(std::string_view name) const;
  // The same, refused beyond bytes_max: for files that are read whole.
  Result<FileBytes> open_small(std::string_view name, int64_t bytes_max) const;
  // Names of the regular files, sorted.
  Result<std::vector<std::string>> list() const;

  // "the folder models/v3", "the embedded model" or the name of what is in memory: for messages.
  std::string describe() const;
  // "models/v3/config.json" or "config.json of the embedded model": for messages.
  std::string path_of(std::string_view name) const;
  const std::string& folder() const { return folder_; }  // empty: embedded or in memory

 private:
  explicit ModelFiles(std::string folder) : folder_(std::move(folder)) {}
  std::string folder_;
  std::string memory_name_;
  std::shared_ptr<const std::map<std::string, std::string, std::less<>>> texts_;  // in memory
  std::shared_ptr<const GgufMetadata> gguf_;
};

}  // namespace fathom
