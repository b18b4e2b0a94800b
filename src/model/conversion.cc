#include "model/conversion.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>

#include "io/checkpoint.h"
#include "io/checksums.h"
#include "io/files.h"
#include "io/json.h"
#include "io/mapped_file.h"
#include "io/output_folder.h"
#include "io/printable.h"
#include "model/demo_shards.h"
#include "model/quantization_report.h"
#include "tensor/buffer.h"

namespace fathom {

namespace {

int64_t bytes_of(const TensorSpec& spec) { return Tensor{spec.dtype, spec.shape, nullptr}.bytes(); }

int64_t bytes_of(const OutputFile& file) {
  int64_t bytes = 0;
  for (const OutputTensor& tensor : file.tensors) bytes += bytes_of(tensor.spec);
  return bytes;
}

// Everything that decides what comes out.
uint64_t fingerprint(const ConversionPlan& plan) {
  Xxh64 hash;
  const auto add = [&](std::string_view text) {
    hash.update(text);
    hash.update(std::string_view("\0", 1));
  };
  add(plan.what);
  for (const std::string& input : plan.inputs) add(input);
  for (const OutputFile& file : plan.files) {
    add(file.name);
    if (file.gguf) add(file.gguf->bytes());
    for (const OutputTensor& tensor : file.tensors) {
      add(tensor.spec.name);
      add(dtype_name(tensor.spec.dtype));
      add(str_list(tensor.spec.shape));
    }
  }
  for (const auto& [name, text] : plan.texts) {
    add(name);
    add(text);
  }
  return hash.digest();
}

std::string index_text(const ConversionPlan& plan) {
  std::map<std::string, std::string> map;
  for (const OutputFile& file : plan.files) {
    for (const OutputTensor& tensor : file.tensors) map.emplace(tensor.spec.name, file.name);
  }
  Json::Object weight_map;
  for (auto& [tensor, file] : map) weight_map.emplace_back(tensor, file);
  const Json index = Json::Object{{"metadata", Json::Object{{"total_size", plan.total_bytes()}}},
                                  {"weight_map", Json(std::move(weight_map))}};
  return index.dump_pretty() + "\n";
}

// A file of weights under a name that a conversion gives.
bool is_weights_name(const std::string& name) {
  if (name == "model.safetensors" || parse_demo_file_name(name)) return true;
  int part = 0, n = 0, length = 0;
  return std::sscanf(name.c_str(), "model-%5d-of-%6d.safetensors%n", &part, &n, &length) == 2 &&
         static_cast<size_t>(length) == name.size();
}

class Runner {
 public:
  Runner(const ConversionPlan& plan, const ModelFiles& files, const std::string& out,
         OutputFolder& folder, const ConversionOptions& options)
      : plan_(plan),
        out_(out),
        files_(files),
        folder_(folder),
        options_(options),
        pool_(options.n_threads),
        scratch_(std::max(options.scratch_bytes, plan.scratch_bytes_min)) {}

  // Before anything in the folder is touched.
  Status check_output() const {
    FATHOM_RETURN_IF_ERROR(check_no_input(output_paths(), input_paths()));
    return check_free_space(folder_.path(), bytes_missing());
  }

  // Whether there is a finished file, of this run or one before.
  bool wrote_some() const { return result_.n_files > 0; }

  Result<ConversionResult> run() {
    FATHOM_RETURN_IF_ERROR(remove_earlier_model());
    for (const OutputFile& file : plan_.files) {
      const FinishedFile* before = finished(file.name);
      if (before != nullptr && check(file, *before, options_.verify).ok()) {
        done_ += bytes_of(file);
        ++result_.n_files_before;
      } else {
        FATHOM_RETURN_IF_ERROR(write(file));
      }
      ++result_.n_files;
    }
    if (plan_.index) {
      FATHOM_RETURN_IF_ERROR(write_file(folder_.file(kIndexName), index_text(plan_), true));
    }
    // config.json comes last: a folder has one when everything else is there.
    for (const std::string& name : plan_.copies) FATHOM_RETURN_IF_ERROR(copy(name));
    if (!plan_.report.name.empty()) {
      FATHOM_TRY(const std::string report,
                 plan_.report.make(folder_.path(), pool_, [this] { return go_on(); }));
      FATHOM_RETURN_IF_ERROR(write_file(folder_.file(plan_.report.name), report, true));
    }
    for (const auto& [name, text] : plan_.texts)
      FATHOM_RETURN_IF_ERROR(write_file(folder_.file(name), text, true));
    result_.bytes = done_;
    return result_;
  }

 private:
  std::vector<std::string> output_paths() const {
    std::vector<std::string> paths;
    if (plan_.index) paths.push_back(folder_.file(kIndexName));
    for (const OutputFile& file : plan_.files) paths.push_back(folder_.file(file.name));
    for (const std::string& name : plan_.copies) paths.push_back(folder_.file(name));
    for (const auto& [name, text] : plan_.texts) paths.push_back(folder_.file(name));
    if (!plan_.report.name.empty()) paths.push_back(folder_.file(plan_.report.name));
    return paths;
  }

  std::vector<std::string> input_paths() const {
    std::vector<std::string> paths = plan_.input_paths;
    if (files_.folder().empty()) return paths;
    const auto names = files_.list();
    if (!names.ok()) return paths;
    for (const std::string& name : *names) paths.push_back(join_path(files_.folder(), name));
    return paths;
  }

  // What another conversion left (--force), before the first of its files is replaced: config.json
  // first, so that the folder is never read as a mixture of two models.
  Status remove_earlier_model() {
    if (plan_.beside) return remove_earlier_parts();
    std::set<std::string> stale = {std::string(kIndexName), std::string(kQuantizationReport)};
    FATHOM_TRY(const ModelFiles out, ModelFiles::open_folder(folder_.path()));
    FATHOM_TRY(const std::vector<std::string> names, out.list());
    for (const std::string& name : names) {
      if (is_weights_name(name)) stale.insert(name);
    }
    for (const OutputFile& file : plan_.files) stale.erase(file.name);
    FATHOM_RETURN_IF_ERROR(remove("config.json"));
    for (const std::string& name : stale) FATHOM_RETURN_IF_ERROR(remove(name));
    return {};
  }
  // One file is replaced in one step, several are not: old parts beside new ones would be a
  // mixture.
  Status remove_earlier_parts() {
    if (plan_.files.size() < 2) return {};
    for (const OutputFile& file : plan_.files) {
      if (finished(file.name) == nullptr) FATHOM_RETURN_IF_ERROR(remove(file.name));
    }
    return {};
  }
  Status remove(const std::string& name) const {
    const std::string path = folder_.file(name);
    if (!path_exists(path) || ::unlink(path.c_str()) == 0) return {};
    return io_error("cannot remove " + printable(path));
  }

  const FinishedFile* finished(const std::string& name) const {
    for (const FinishedFile& file : folder_.finished()) {
      if (file.name == name) return &file;
    }
    return nullptr;
  }

  int64_t bytes_missing() const {
    int64_t bytes = 0;
    for (const OutputFile& file : plan_.files)
      bytes += finished(file.name) == nullptr ? bytes_of(file) : 0;
    return bytes;
  }

  Status go_on() const {
    if (!options_.go_on || options_.go_on(done_)) return {};
    return Error{
        ErrorCode::kInterrupted,
        str_cat("stopped; the same command goes on with what is missing in ", printable(out_))};
  }

  Status write(const OutputFile& file) {
    std::vector<TensorSpec> specs;
    for (const OutputTensor& tensor : file.tensors) specs.push_back(tensor.spec);
    const std::string path = folder_.file(file.name);
    // What the journal allows was asked for; beside other files a name may have come meanwhile.
    const bool replace = !plan_.beside || options_.force || !folder_.is_new();
    if (file.gguf) {
      FATHOM_TRY(GgufWriter writer,
                 GgufWriter::create(path, *file.gguf, std::move(specs), replace));
      return write(file, writer);
    }
    FATHOM_TRY(SafetensorsWriter writer,
               SafetensorsWriter::create(path, std::move(specs), replace, file.metadata));
    return write(file, writer);
  }

  template <typename Writer>
  Status write(const OutputFile& file, Writer& writer) {
    Xxh64 checksum;
    for (size_t i = 0; i < file.tensors.size(); ++i) {
      const auto write_piece = [&](std::span<const std::byte> bytes) -> Status {
        FATHOM_RETURN_IF_ERROR(writer.write(i, bytes));
        checksum.update(bytes);
        done_ += static_cast<int64_t>(bytes.size());
        return go_on();
      };
      TensorSink sink(pool_, std::as_writable_bytes(scratch_.span()), write_piece);
      FATHOM_RETURN_IF_ERROR(file.tensors[i].source(sink));
    }
    const FinishedFile written{file.name, writer.bytes(), checksum.digest()};
    FATHOM_RETURN_IF_ERROR(writer.finish());
    FATHOM_RETURN_IF_ERROR(check(file, written, options_.verify));
    return folder_.record(written);
  }

  // Reads the file back: size, names, dtypes and shapes; with whole also every byte.
  Status check(const OutputFile& file, const FinishedFile& expected, bool whole) {
    const std::string path = folder_.file(file.name);
    const auto damaged = [&](const std::string& how) {
      return Error{ErrorCode::kIo, str_cat(printable(path), " is not what was written: ", how,
                                           "; is the disk healthy?")};
    };
    if (whole) drop_from_cache(path);
    FATHOM_TRY(const MappedFile mapped, MappedFile::open(path));
    if (static_cast<int64_t>(mapped.bytes().size()) != expected.bytes) {
      return damaged(str_cat(mapped.bytes().size(), " bytes instead of ", expected.bytes));
    }
    FATHOM_TRY(const std::vector<NamedTensor> parsed, parse(file, mapped));
    std::map<std::string_view, const Tensor*> tensors;
    for (const NamedTensor& named : parsed) tensors.emplace(named.name, &named.tensor);
    if (tensors.size() != file.tensors.size()) return damaged("another number of tensors");
    Xxh64 checksum;
    for (const OutputTensor& tensor : file.tensors) {
      const auto found = tensors.find(tensor.spec.name);
      if (found == tensors.end() || found->second->dtype != tensor.spec.dtype ||
          found->second->shape != tensor.spec.shape) {
        return damaged(str_cat("tensor ", tensor.spec.name, " differs"));
      }
      if (whole) FATHOM_RETURN_IF_ERROR(add_checksum(*found->second, checksum));
    }
    if (whole && checksum.digest() != expected.checksum) return damaged("its checksum differs");
    return {};
  }

  static Result<std::vector<NamedTensor>> parse(const OutputFile& file, const MappedFile& mapped) {
    const std::string name = printable(mapped.path());
    if (file.gguf) {
      FATHOM_TRY(GgufFile parsed, parse_gguf(mapped.bytes(), name));
      return std::move(parsed.tensors);
    }
    FATHOM_TRY(SafetensorsFile parsed, parse_safetensors(mapped.bytes(), name));
    return std::move(parsed.tensors);
  }

  Status add_checksum(const Tensor& tensor, Xxh64& checksum) {
    std::span<const std::byte> rest(tensor.as<std::byte>(), static_cast<size_t>(tensor.bytes()));
    while (!rest.empty()) {
      const auto piece = rest.first(std::min(rest.size(), static_cast<size_t>(scratch_.size())));
      checksum.update(piece);
      release_pages(piece.data(), static_cast<int64_t>(piece.size()));
      rest = rest.subspan(piece.size());
      FATHOM_RETURN_IF_ERROR(go_on());
    }
    return {};
  }

  // So that the disk is read and not what is still in memory. Where that cannot be, the check is
  // weaker, not wrong.
  static void drop_from_cache(const std::string& path) {
    const auto file = open_for_reading(path);
    if (file.ok()) (void)::posix_fadvise(file->get(), 0, 0, POSIX_FADV_DONTNEED);
  }

  Status copy(const std::string& name) {
    FATHOM_TRY(const FileBytes bytes, files_.open(name));
    FATHOM_TRY(AtomicFile out, AtomicFile::create(folder_.file(name), true));
    FATHOM_RETURN_IF_ERROR(out.append(bytes.bytes()));
    return out.commit();
  }

  const ConversionPlan& plan_;
  const std::string& out_;
  const ModelFiles& files_;
  OutputFolder& folder_;
  const ConversionOptions& options_;
  Pool pool_;
  Buffer<uint8_t> scratch_;
  ConversionResult result_;
  int64_t done_ = 0;
};

Result<OutputFolder> open_output(const ConversionPlan& plan, const std::string& out, bool force) {
  if (!plan.beside) return OutputFolder::open(out, fingerprint(plan), plan.what, force);
  std::vector<std::string> names;
  for (const OutputFile& file : plan.files) names.push_back(file.name);
  return OutputFolder::open_beside(out, names, fingerprint(plan), plan.what, force);
}

}  // namespace

int64_t ConversionPlan::total_bytes() const {
  int64_t bytes = 0;
  for (const OutputFile& file : files) bytes += bytes_of(file);
  return bytes;
}

Result<ConversionResult> run_conversion(const ConversionPlan& plan, const ModelFiles& files,
                                        const std::string& out, const ConversionOptions& options) {
  if (!files.folder().empty() && !plan.beside)
    FATHOM_RETURN_IF_ERROR(check_apart(files.folder(), out));
  FATHOM_TRY(OutputFolder folder, open_output(plan, out, options.force));
  Runner runner(plan, files, out, folder, options);
  if (const Status good = runner.check_output(); !good.ok()) {
    // A folder that is as it was needs no journal.
    if (folder.is_new()) FATHOM_RETURN_IF_ERROR(folder.close());
    return good.error();
  }
  Result<ConversionResult> result = runner.run();
  // Beside other files a journal that has nothing to say would only be in the way of another
  // command.
  if (result.ok() || (plan.beside && !runner.wrote_some())) FATHOM_RETURN_IF_ERROR(folder.close());
  return result;
}

Result<std::vector<std::string>> files_to_copy(const ModelFiles& files,
                                               const std::vector<std::string>& except) {
  FATHOM_TRY(std::vector<std::string> names, files.list());
  std::erase_if(names, [&](const std::string& name) {
    for (const char* weights :
         {".safetensors", ".bin", ".pt", ".pth", ".gguf", ".onnx", ".h5", ".msgpack", ".part"}) {
      if (name.ends_with(weights)) return true;
    }
    // Checksums would be of the files that are replaced.
    return name.starts_with(".") || name == kIndexName || name == kChecksumsName ||
           name.ends_with(".index.json") ||
           std::find(except.begin(), except.end(), name) != except.end();
  });
  return names;
}

std::string input_identity(const ModelFiles& files, const std::string& name) {
  return files.is_embedded() ? name : file_identity(join_path(files.folder(), name));
}

std::string file_identity(const std::string& path) {
  const std::string name = path.substr(path.rfind('/') + 1);
  struct stat info = {};
  if (::stat(path.c_str(), &info) != 0) return name;
  return str_cat(name, ", ", int64_t{info.st_size}, " bytes, ", int64_t{info.st_mtim.tv_sec}, ".",
                 int64_t{info.st_mtim.tv_nsec});
}

Status check_unpacked(const ModelConfig& config, const Checkpoint& checkpoint,
                      std::string_view to) {
  if (!config.packed_formats) return {};
  return unsupported_error(
      checkpoint.files().describe(),
      " is packed (quantization_config in its config.json), which cannot become ", to,
      "; convert the published weights that it was made from");
}

// The values are looked at as they pass through, so that memory stays bounded: no pass over the
// files before.
Result<CheckedTensors> check_input(const ModelConfig& config, const Checkpoint& checkpoint) {
  return check_tensors(config, checkpoint, {.verify_weights = false, .verify_bytes_max = 0});
}

}  // namespace fathom
