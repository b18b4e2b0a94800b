#include "io/model_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "io/files.h"
#include "io/mapped_file.h"
#include "io/printable.h"

namespace fathom {

namespace {

std::span<const EmbeddedFile> embedded_files;

const EmbeddedFile* find_embedded(std::string_view name) {
  for (const EmbeddedFile& file : embedded_files) {
    if (file.name == name) return &file;
  }
  return nullptr;
}

bool is_plain_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string_view::npos &&
         name.find('\0') == std::string_view::npos;
}

}  // namespace

void register_embedded_model(std::span<const EmbeddedFile> files) { embedded_files = files; }

Result<ModelFiles> ModelFiles::open_folder(const std::string& path) {
  if (path.empty()) return invalid_error("the path of the model is empty");
  struct stat info = {};
  if (path.find('\0') != std::string::npos || ::stat(path.c_str(), &info) != 0) {
    return io_error(str_cat("cannot open the model folder ", printable(path)));
  }
  if (!S_ISDIR(info.st_mode)) {
    return invalid_error(printable(path),
                         " is no folder; expected one that holds config.json and *.safetensors");
  }
  return ModelFiles(path);
}

bool ModelFiles::has_embedded() { return !embedded_files.empty(); }

Result<ModelFiles> ModelFiles::embedded() {
  if (!has_embedded()) {
    return invalid_error(
        "this program was built without an embedded model; name one with --model PATH");
  }
  return ModelFiles(std::string());
}

ModelFiles ModelFiles::in_memory(std::string name) {
  ModelFiles files((std::string()));
  files.memory_name_ = std::move(name);
  return files;
}

ModelFiles ModelFiles::of_gguf(std::string name,
                               std::map<std::string, std::string, std::less<>> texts,
                               std::shared_ptr<const GgufMetadata> metadata) {
  ModelFiles files = in_memory(std::move(name));
  files.texts_ =
      std::make_shared<const std::map<std::string, std::string, std::less<>>>(std::move(texts));
  files.gguf_ = std::move(metadata);
  return files;
}

bool ModelFiles::exists(std::string_view name) const {
  if (!is_plain_name(name)) return false;
  if (is_in_memory()) return texts_ != nullptr && texts_->find(name) != texts_->end();
  return is_embedded() ? find_embedded(name) != nullptr : path_exists(join_path(folder_, name));
}

Result<FileBytes> ModelFiles::open(std::string_view name) const {
  if (!is_plain_name(name)) {
    return invalid_error("\"", printable(name), "\" is no name of a file in ", describe());
  }
  if (is_in_memory()) {
    if (!exists(name)) return invalid_error(describe(), " has no file ", printable(name));
    const std::string& text = texts_->find(name)->second;
    return FileBytes(std::as_bytes(std::span(text)), texts_);
  }
  if (is_embedded()) {
    const EmbeddedFile* file = find_embedded(name);
    if (file == nullptr) return invalid_error("the embedded model has no file ", printable(name));
    return FileBytes(file->bytes, nullptr);
  }
  FATHOM_TRY(MappedFile mapped, MappedFile::open(join_path(folder_, name)));
  return FileBytes(std::make_shared<const MappedFile>(std::move(mapped)));
}

Result<FileBytes> ModelFiles::open_small(std::string_view name, int64_t bytes_max) const {
  FATHOM_TRY(FileBytes file, open(name));
  if (static_cast<int64_t>(file.bytes().size()) > bytes_max) {
    return invalid_error(path_of(name), " has ", file.bytes().size(), " bytes, at most ", bytes_max,
                         " are read of a file of its kind");
  }
  return file;
}

Result<std::vector<std::string>> ModelFiles::list() const {
  std::vector<std::string> names;
  if (!memory_name_.empty()) return names;
  if (is_embedded()) {
    for (const EmbeddedFile& file : embedded_files) names.emplace_back(file.name);
  } else {
    namespace fs = std::filesystem;
    std::error_code code;
    fs::directory_iterator entry(folder_, code);
    for (const fs::directory_iterator end; !code && entry != end; entry.increment(code)) {
      std::error_code unreadable;  // a dangling link, say: no file of the model
      if (entry->is_regular_file(unreadable)) names.push_back(entry->path().filename().string());
    }
    if (code) {
      return Error{ErrorCode::kIo, str_cat("cannot list ", describe(), ": ", code.message())};
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string ModelFiles::describe() const {
  if (!memory_name_.empty()) return printable(memory_name_);
  return is_embedded() ? std::string("the embedded model")
                       : str_cat("the folder ", printable(folder_));
}

std::string ModelFiles::path_of(std::string_view name) const {
  if (!memory_name_.empty()) return printable(memory_name_);
  if (is_embedded()) return str_cat(printable(name), " of the embedded model");
  return printable(join_path(folder_, name));
}

}  // namespace fathom
