#include "io/checkpoint_save.h"

#include <algorithm>
#include <vector>

#include "io/files.h"
#include "io/json.h"
#include "io/printable.h"
#include "io/safetensors.h"

namespace fathom {

namespace {

constexpr size_t kPieceBytes = size_t{16} << 20;  // between two calls of progress

using Group = std::vector<const CheckpointTensor*>;

// In order of name, so that a layer's tensors mostly stand together.
std::vector<Group> split(const Checkpoint& checkpoint, int64_t bytes_max) {
  std::vector<Group> groups(1);
  int64_t bytes = 0;
  for (const CheckpointTensor& entry : checkpoint.tensors()) {
    const int64_t size = entry.tensor.bytes();
    if (!groups.back().empty() && bytes + size > bytes_max) {
      groups.emplace_back();
      bytes = 0;
    }
    groups.back().push_back(&entry);
    bytes += size;
  }
  return groups;
}

std::string five_digits(size_t n) {
  const std::string digits = str_cat(n);
  return std::string(digits.size() < 5 ? 5 - digits.size() : 0, '0') + digits;
}

std::string shard_name(size_t i, size_t n) {
  return str_cat("model-", five_digits(i + 1), "-of-", five_digits(n), ".safetensors");
}

Status write_shard(const std::string& path, const Group& group, const SaveOptions& options,
                   int64_t& done) {
  std::vector<TensorSpec> specs;
  for (const CheckpointTensor* entry : group)
    specs.push_back({entry->name, entry->tensor.dtype, entry->tensor.shape});
  FATHOM_TRY(SafetensorsWriter writer,
             SafetensorsWriter::create(path, std::move(specs), options.force));
  for (size_t i = 0; i < group.size(); ++i) {
    const Tensor& tensor = group[i]->tensor;
    std::span<const std::byte> left(static_cast<const std::byte*>(tensor.data),
                                    static_cast<size_t>(tensor.bytes()));
    while (!left.empty()) {
      const size_t n = std::min(kPieceBytes, left.size());
      FATHOM_RETURN_IF_ERROR(writer.write(i, left.first(n)));
      left = left.subspan(n);
      done += static_cast<int64_t>(n);
      if (options.progress) options.progress(done);
    }
  }
  return writer.finish();
}

}  // namespace

Status save_checkpoint(const Checkpoint& checkpoint, const std::string& config_json,
                       const std::string& folder, const SaveOptions& options) {
  const std::string config_path = join_path(folder, "config.json");
  if (!options.force && path_exists(config_path)) {
    return invalid_error(printable(config_path),
                         " exists; give another folder, or --force to replace the model in it");
  }
  FATHOM_RETURN_IF_ERROR(make_directories(folder));
  const std::vector<Group> groups = split(checkpoint, options.shard_bytes_max);
  Json map = Json::object();
  int64_t done = 0;
  for (size_t i = 0; i < groups.size(); ++i) {
    const std::string name = shard_name(i, groups.size());
    FATHOM_RETURN_IF_ERROR(write_shard(join_path(folder, name), groups[i], options, done));
    for (const CheckpointTensor* entry : groups[i]) map.as_object().emplace_back(entry->name, name);
  }
  const Json index =
      Json::Object{{"metadata", Json::Object{{"total_size", checkpoint.total_bytes()}}},
                   {"weight_map", std::move(map)}};
  FATHOM_RETURN_IF_ERROR(
      write_file(join_path(folder, kIndexName), index.dump_pretty() + "\n", options.force));
  return write_file(config_path, config_json, options.force);
}

}  // namespace fathom
