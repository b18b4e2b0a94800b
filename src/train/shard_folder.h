// The folder that a ShardWriter fills (train/shards.h). What stood in it stays until everything new
// is on the disk under other names; then the new files take their names, the index last, and what
// the index does not name goes. One process at a time. Other people's files are left alone.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/files.h"

namespace fathom {

inline constexpr std::string_view kShardIndexName = "index.json";

// "train-0.tokens" -> "train-0.tokens.mask".
std::string shard_mask_name(const std::string& name);

class ShardFolder {
 public:
  // Makes the folder and those above it. Refused: an index is there and force is false, another
  // process writes into it. What runs that were killed left is removed.
  static Result<ShardFolder> open(const std::string& path, bool force);
  // Removes the folders it made if nothing is in them.
  ~ShardFolder();
  ShardFolder(ShardFolder&&) noexcept = default;
  ShardFolder& operator=(ShardFolder&&) = delete;

  // A shard or a mask, for publish().
  Result<AtomicFile> create(const std::string& name) const;
  // files: complete (AtomicFile::seal); names: theirs.
  Status publish(std::vector<AtomicFile> files, const std::set<std::string>& names,
                 std::string_view index);

 private:
  ShardFolder(std::string path, bool force);
  Status remove_ours(const std::function<bool(const std::string&)>& keep) const;

  std::string path_;
  bool force_;
  std::vector<std::string> made_;  // deepest first
  FileDescriptor lock_;
};

}  // namespace fathom
