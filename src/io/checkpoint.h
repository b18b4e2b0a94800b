// All tensors of a model by name, over one or many safetensors files that stay mapped. The weights
// of a model are the files that model.safetensors.index.json names, else model.safetensors, else
// the only *.safetensors. Index and files must agree in both directions; a weight and its scale may
// lie in different files. Not here: what the tensors mean (model/weights.h).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.h"
#include "io/model_files.h"
#include "io/safetensors.h"
#include "tensor/tensor.h"

namespace fathom {

inline constexpr std::string_view kIndexName = "model.safetensors.index.json";

struct CheckpointTensor {
  std::string name;
  Tensor tensor;
  size_t shard = 0;  // into Checkpoint::shards()
};

struct Shard {
  std::string name;  // of the file
  FileBytes bytes;
  std::vector<std::pair<std::string, std::string>> metadata;
};

class Checkpoint {
 public:
  static Result<Checkpoint> open(const ModelFiles& files);
  // Of tensors in memory, which owner keeps alive; names must differ. As one shard without bytes.
  static Checkpoint from_tensors(const std::string& name, std::vector<NamedTensor> tensors,
                                 std::shared_ptr<const void> owner);

  // Of files of another kind that are open already: shards named by their paths, tensors pointing
  // into them. name is for messages. Errors: two tensors of one name.
  static Result<Checkpoint> from_shards(const std::string& name, std::vector<Shard> shards,
                                        std::vector<CheckpointTensor> tensors);

  // Null if there is none of that name. Points into the checkpoint: valid while it, or a copy of
  // it, lives.
  const Tensor* find(std::string_view name) const;
  // What the tensor's bytes are beyond what a safetensors header can say (packed weights); shape is
  // the matrix's. Its size must stay what it is.
  void set_type(size_t index, Dtype dtype, std::vector<int64_t> shape);
  // Sorted by name.
  const std::vector<CheckpointTensor>& tensors() const { return tensors_; }
  const std::vector<Shard>& shards() const { return shards_; }
  // The path of the file that holds the tensor, for messages; it must exist.
  std::string file_of(std::string_view name) const;
  // Lets go of the pages of mapped files: of one tensor, or of all (io/mapped_file.h).
  void release_pages(std::string_view name) const;
  void release_pages() const;
  // Of the data of all tensors.
  int64_t total_bytes() const { return total_bytes_; }
  const ModelFiles& files() const { return files_; }

 private:
  explicit Checkpoint(ModelFiles files) : files_(std::move(files)) {}
  Status open_shard(const std::string& name);
  Status finish();
  const CheckpointTensor* find_entry(std::string_view name) const;

  ModelFiles files_;
  std::vector<Shard> shards_;
  std::vector<CheckpointTensor> tensors_;
  int64_t total_bytes_ = 0;
};

}  // namespace fathom
