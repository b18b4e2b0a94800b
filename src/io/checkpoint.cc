#include "io/checkpoint.h"

#include <algorithm>
#include <optional>
#include <set>

#include "base/math.h"
#include "io/json.h"
#include "io/printable.h"
#include "io/safetensors.h"

namespace fathom {

namespace {

constexpr int64_t kIndexBytesMax = int64_t{256} << 20;  // the 671B model's has 9 MB
constexpr size_t kShardsMax = 100'000;

struct Index {
  std::vector<std::pair<std::string, std::string>> weight_map;  // tensor, file
  std::optional<int64_t> total_size;
};

Result<Index> read_index(const ModelFiles& files) {
  const std::string path = files.path_of(kIndexName);
  FATHOM_TRY(const FileBytes file, files.open_small(kIndexName, kIndexBytesMax));
  auto json = parse_json(file.text());
  if (!json.ok()) return invalid_error(path, " is ", json.error().message);
  const Json* map = json->find("weight_map");
  if (map == nullptr || !map->is_object())
    return invalid_error(path, ": \"weight_map\" is missing or no object");
  Index index;
  for (const auto& [tensor, shard] : map->as_object()) {
    if (!shard.is_string()) {
      return invalid_error(path, ": weight_map ", printable(tensor), " is ", shard.type_name(),
                           ", expected the name of a file");
    }
    const std::string& name = shard.as_string();
    if (name.empty() || name == "." || name.find("..") != std::string::npos ||
        name.find_first_of(std::string_view("/\0", 2)) != std::string::npos) {
      return invalid_error(path, ": weight_map ", printable(tensor), " names \"", printable(name),
                           "\", which is no plain name of a file in the model's folder");
    }
    index.weight_map.emplace_back(tensor, name);
  }
  if (index.weight_map.empty()) return invalid_error(path, ": \"weight_map\" is empty");
  if (const Json* metadata = json->find("metadata")) {
    if (const Json* total = metadata->find("total_size")) {
      // Some writers make it a float; it is still a count of bytes.
      const bool whole =
          total->is_number() && total->as_double() >= 0 && total->as_double() < 0x1p63;
      if (!whole)
        return invalid_error(path, ": metadata total_size is ", printable(total->dump()),
                             ", expected a number of bytes");
      index.total_size =
          total->is_int() ? total->as_int() : static_cast<int64_t>(total->as_double());
    }
  }
  return index;
}

// Both directions: what the index says of a file is in it, and what is in it the index says.
Status check_index(const Index& index, const std::vector<CheckpointTensor>& tensors,
                   const std::vector<Shard>& shards, const ModelFiles& files) {
  std::unordered_map<std::string_view, std::string_view> shard_of;
  for (const auto& [tensor, shard] : index.weight_map) shard_of.emplace(tensor, shard);
  size_t found = 0;
  for (const CheckpointTensor& entry : tensors) {
    const std::string& file = shards[entry.shard].name;
    const auto it = shard_of.find(entry.name);
    if (it == shard_of.end()) {
      return invalid_error(files.path_of(file), " holds the tensor ", printable(entry.name),
                           ", which ", kIndexName,
                           " does not name; are the two from one download?");
    }
    if (it->second != file) {
      return invalid_error("tensor ", printable(entry.name), " stands in ", files.path_of(file),
                           ", but ", kIndexName, " says ", printable(it->second));
    }
    ++found;
  }
  if (found == shard_of.size()) return {};
  std::set<std::string_view> present;
  for (const CheckpointTensor& entry : tensors) present.insert(entry.name);
  for (const auto& [tensor, shard] : index.weight_map) {
    if (present.count(tensor) == 0) {
      return invalid_error(kIndexName, " says that tensor ", printable(tensor), " stands in ",
                           files.path_of(shard), ", but that file does not hold it");
    }
  }
  return {};
}

// The names of the files without an index.
Result<std::vector<std::string>> unindexed_files(const ModelFiles& files) {
  constexpr std::string_view kSingle = "model.safetensors";
  if (files.exists(kSingle)) return std::vector<std::string>{std::string(kSingle)};
  FATHOM_TRY(std::vector<std::string> names, files.list());
  std::erase_if(names, [](const std::string& name) { return !name.ends_with(".safetensors"); });
  if (names.empty()) return invalid_error(files.describe(), " holds no *.safetensors file");
  if (names.size() > 1) {
    return invalid_error(files.describe(), " holds ", names.size(),
                         " *.safetensors files but neither ", kIndexName,
                         " nor model.safetensors, which would say what belongs together");
  }
  return names;
}

}  // namespace

Result<Checkpoint> Checkpoint::open(const ModelFiles& files) {
  Checkpoint checkpoint(files);
  if (!files.exists(kIndexName)) {
    FATHOM_TRY(const std::vector<std::string> names, unindexed_files(files));
    for (const std::string& name : names) FATHOM_RETURN_IF_ERROR(checkpoint.open_shard(name));
    FATHOM_RETURN_IF_ERROR(checkpoint.finish());
    return checkpoint;
  }
  FATHOM_TRY(const Index index, read_index(files));
  std::set<std::string> names;
  for (const auto& [tensor, shard] : index.weight_map) names.insert(shard);
  if (names.size() > kShardsMax)
    return invalid_error(kIndexName, " names ", names.size(), " files");
  for (const std::string& name : names) {
    if (!files.exists(name)) {
      return invalid_error(kIndexName, " names the file ", files.path_of(name),
                           ", which does not exist; is the download complete?");
    }
    FATHOM_RETURN_IF_ERROR(checkpoint.open_shard(name));
  }
  FATHOM_RETURN_IF_ERROR(checkpoint.finish());
  FATHOM_RETURN_IF_ERROR(check_index(index, checkpoint.tensors_, checkpoint.shards_, files));
  if (index.total_size && *index.total_size != checkpoint.total_bytes_) {
    return invalid_error(files.path_of(kIndexName), ": metadata total_size is ", *index.total_size,
                         ", but the tensors have ", checkpoint.total_bytes_, " bytes");
  }
  return checkpoint;
}

Checkpoint Checkpoint::from_tensors(const std::string& name, std::vector<NamedTensor> tensors,
                                    std::shared_ptr<const void> owner) {
  Checkpoint checkpoint(ModelFiles::in_memory(name));
  for (NamedTensor& named : tensors) {
    checkpoint.total_bytes_ += named.tensor.bytes();
    checkpoint.tensors_.push_back({std::move(named.name), std::move(named.tensor), 0});
  }
  checkpoint.shards_.push_back({name, FileBytes({}, std::move(owner)), {}});
  const Status unique = checkpoint.finish();
  FATHOM_CHECK(unique.ok(), "two tensors of one name");
  return checkpoint;
}

void Checkpoint::set_type(size_t index, Dtype dtype, std::vector<int64_t> shape) {
  Tensor& tensor = tensors_[index].tensor;
  const int64_t bytes = tensor.bytes();
  tensor.dtype = dtype;
  tensor.shape = std::move(shape);
  FATHOM_CHECK(tensor.bytes() == bytes, tensors_[index].name, " has ", bytes, " bytes, as ",
               dtype_name(dtype), " ", tensor.bytes());
}

Result<Checkpoint> Checkpoint::from_shards(const std::string& name, std::vector<Shard> shards,
                                           std::vector<CheckpointTensor> tensors) {
  Checkpoint checkpoint(ModelFiles::in_memory(name));
  checkpoint.shards_ = std::move(shards);
  checkpoint.tensors_ = std::move(tensors);
  for (const CheckpointTensor& entry : checkpoint.tensors_)
    checkpoint.total_bytes_ += entry.tensor.bytes();
  FATHOM_RETURN_IF_ERROR(checkpoint.finish());
  return checkpoint;
}

Status Checkpoint::open_shard(const std::string& name) {
  FATHOM_TRY(FileBytes bytes, files_.open(name));
  FATHOM_TRY(SafetensorsFile file, parse_safetensors(bytes.bytes(), files_.path_of(name)));
  for (NamedTensor& named : file.tensors) {
    total_bytes_ += named.tensor.bytes();  // each is inside a file: no overflow
    tensors_.push_back({std::move(named.name), std::move(named.tensor), shards_.size()});
  }
  shards_.push_back({name, std::move(bytes), std::move(file.metadata)});
  return {};
}

Status Checkpoint::finish() {
  std::sort(tensors_.begin(), tensors_.end(),
            [](const CheckpointTensor& a, const CheckpointTensor& b) { return a.name < b.name; });
  for (size_t i = 1; i < tensors_.size(); ++i) {
    if (tensors_[i].name != tensors_[i - 1].name) continue;
    return invalid_error("tensor ", printable(tensors_[i].name), " stands in two files: ",
                         files_.path_of(shards_[tensors_[i - 1].shard].name), " and ",
                         files_.path_of(shards_[tensors_[i].shard].name));
  }
  return {};
}

const CheckpointTensor* Checkpoint::find_entry(std::string_view name) const {
  const auto it = std::lower_bound(
      tensors_.begin(), tensors_.end(), name,
      [](const CheckpointTensor& entry, std::string_view key) { return entry.name < key; });
  return it != tensors_.end() && it->name == name ? &*it : nullptr;
}

const Tensor* Checkpoint::find(std::string_view name) const {
  const CheckpointTensor* entry = find_entry(name);
  return entry == nullptr ? nullptr : &entry->tensor;
}

void Checkpoint::release_pages(std::string_view name) const {
  const CheckpointTensor* entry = find_entry(name);
  if (entry == nullptr || shards_[entry->shard].bytes.mapped() == nullptr) return;
  release_mapped_pages({static_cast<const std::byte*>(entry->tensor.data),
                        static_cast<size_t>(entry->tensor.bytes())});
}

void Checkpoint::release_pages() const {
  for (const Shard& shard : shards_) {
    if (shard.bytes.mapped() != nullptr) release_mapped_pages(shard.bytes.bytes());
  }
}

std::string Checkpoint::file_of(std::string_view name) const {
  const CheckpointTensor* entry = find_entry(name);
  FATHOM_CHECK(entry != nullptr, "no tensor ", name);
  const std::string& shard = shards_[entry->shard].name;
  return files_.is_in_memory() ? printable(shard) : files_.path_of(shard);
}

}  // namespace fathom
