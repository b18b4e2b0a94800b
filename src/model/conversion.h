// Making one folder of weights from another, tensor by tensor, in bounded memory: a plan says which
// files come out and how the bytes of each tensor come about; run_conversion() carries it out, once
// or in as many runs as it takes. The plans are made in convert_*.h; nothing here knows what the
// tensors mean.
//
// Files are written one after the other, each complete or absent (io/output_folder.h). Pages of the
// input are let go as they have been read, so that memory stays at the scratch and the tables of
// names.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/xxh64.h"
#include "io/gguf.h"
#include "io/model_files.h"
#include "io/safetensors.h"
#include "model/weights_check.h"
#include "parallel/pool.h"

namespace fathom {

// Where the source of a tensor leaves its bytes, from the first to the last.
class TensorSink {
 public:
  using Write = std::function<Status(std::span<const std::byte>)>;
  TensorSink(Pool& pool, std::span<std::byte> scratch, Write write)
      : pool_(pool), scratch_(scratch), write_(std::move(write)) {}

  // Pieces of at most the scratch's size, so that progress shows and Ctrl-C is heard.
  Status write(std::span<const std::byte> bytes) { return write_(bytes); }
  // Memory to build a piece in; at least ConversionPlan::scratch_bytes_min.
  std::span<std::byte> scratch() const { return scratch_; }
  Pool& pool() const { return pool_; }

 private:
  Pool& pool_;
  std::span<std::byte> scratch_;
  Write write_;
};
// May be called again for the same tensor (another run, a check).
using TensorSource = std::function<Status(TensorSink& sink)>;

struct OutputTensor {
  TensorSpec spec;
  TensorSource source;
};

struct OutputFile {
  std::string name;
  std::vector<OutputTensor> tensors;
  std::vector<std::pair<std::string, std::string>> metadata = {{"format", "pt"}};
  std::optional<GgufMetadataBuilder> gguf = std::nullopt;  // of a GGUF file, in place of metadata
};

// A small file about the weights, made when they are all in the folder; go_on as in
// ConversionOptions, an error is passed on.
struct PlannedReport {
  std::string name;  // empty: none
  std::function<Result<std::string>(const std::string& folder, Pool& pool,
                                    const std::function<Status()>& go_on)>
      make;
};

struct ConversionPlan {
  std::string what;  // for messages and the journal: "models/v3 as 8 files for model parallelism"
  std::vector<OutputFile> files;
  bool index = false;  // write model.safetensors.index.json
  // OUT is a name among others in its folder (m.gguf, or what its parts are named after), and the
  // files are all that comes about: no index, texts, report and copies.
  bool beside = false;
  std::vector<std::pair<std::string, std::string>>
      texts;                        // small files made anew: name, contents; written last
  PlannedReport report;             // written before them
  std::vector<std::string> copies;  // names of files taken over as they are
  int64_t scratch_bytes_min = 0;
  std::vector<std::string> notes;  // what a person should know, one sentence each

  // Identity of the input beyond names and shapes, so that an interrupted run is never continued on
  // other data.
  std::vector<std::string> inputs;
  std::vector<std::string> input_paths;  // files that are read outside the input folder
  std::shared_ptr<const void> owner;     // what the sources read from
  int64_t total_bytes() const;           // of the tensors
};

struct ConversionOptions {
  int n_threads = 1;
  int64_t scratch_bytes = int64_t{64} << 20;
  bool force = false;
  bool verify = false;  // read each file again when it is on the disk, and compare checksums
  std::function<bool(int64_t bytes_done)> go_on;  // false: stop as after Ctrl-C; may be empty
};

struct ConversionResult {
  int64_t n_files = 0;
  int64_t n_files_before = 0;  // of them made by an earlier run
  int64_t bytes = 0;
};

// files: the input folder, for what is copied. out: a folder, or as plan.beside says. Afterwards
// every file was opened again and its header compared.
Result<ConversionResult> run_conversion(const ConversionPlan& plan, const ModelFiles& files,
                                        const std::string& out, const ConversionOptions& options);

// The files beside the weights that a conversion takes over: tokenizer, templates, licences. Not
// weights of other kinds, not what except names.
Result<std::vector<std::string>> files_to_copy(const ModelFiles& files,
                                               const std::vector<std::string>& except);
// "name, size, time of change" of a file, for ConversionPlan::inputs.
std::string input_identity(const ModelFiles& files, const std::string& name);
std::string file_identity(const std::string& path);

// An error if the checkpoint is packed already: what it was made from is the better input. to: what
// was asked for.
Status check_unpacked(const ModelConfig& config, const Checkpoint& checkpoint, std::string_view to);

// check_tensors() without the pass over the values.
Result<CheckedTensors> check_input(const ModelConfig& config, const Checkpoint& checkpoint);

// --- sources ---

// size bytes of mapped memory as they stand.
TensorSource copy_of(const void* data, int64_t size);
// Rows of several matrices side by side: row r is the concatenation of row r of each part.
struct RowPart {
  const std::byte* data = nullptr;  // of its first row
  int64_t stride = 0;               // bytes between rows
  int64_t bytes = 0;                // of a row that are taken
};
TensorSource rows_side_by_side(std::vector<RowPart> parts, int64_t n_rows);
// One after the other.
TensorSource one_after_another(std::vector<TensorSource> sources);

// Pages of a file mapping that will not be needed again soon; contents stay what they are (those of
// other memory would be lost). Whole pages only: a reader of small pieces lets go from its
// beginning to where it is, else the pages at their borders stay, and those that faults bring back.
// The sources above do this with what they have read: they are for checkpoints.
void release_pages(const void* data, int64_t size);

}  // namespace fathom
