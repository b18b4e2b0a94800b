#include "train/shard_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <utility>

#include "io/printable.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMask = ".mask";

bool drop_end(std::string_view& name, std::string_view end) {
  if (!name.ends_with(end)) return false;
  name.remove_suffix(end.size());
  return true;
}

// train-3.tokens, validation-0.tokens.mask.
bool is_shard(std::string_view name) {
  drop_end(name, kMask);
  if (!drop_end(name, ".tokens")) return false;
  const size_t dash = name.find('-');
  if (dash == std::string_view::npos) return false;
  const std::string_view prefix = name.substr(0, dash), number = name.substr(dash + 1);
  return (prefix == "train" || prefix == "validation") && !number.empty() &&
         number.find_first_not_of("0123456789") == std::string_view::npos;
}

// Of a shard or an index, as AtomicFile names what is not complete:
// .train-0.tokens.<digits>-0.part.
bool is_part(std::string_view name) {
  if (!name.starts_with('.') || !drop_end(name, ".part")) return false;
  name.remove_prefix(1);
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return false;
  if (name.find_first_not_of("0123456789-", dot + 1) != std::string_view::npos) return false;
  return is_shard(name.substr(0, dot)) || name.substr(0, dot) == kShardIndexName;
}

}  // namespace

std::string shard_mask_name(const std::string& name) { return str_cat(name, kMask); }

ShardFolder::ShardFolder(std::string path, bool force) : path_(std::move(path)), force_(force) {
  for (fs::path at = path_; !at.empty() && !path_exists(at.string()); at = at.parent_path())
    made_.push_back(at.string());
}

ShardFolder::~ShardFolder() {
  for (const std::string& folder : made_) ::rmdir(folder.c_str());
}

Result<ShardFolder> ShardFolder::open(const std::string& path, bool force) {
  ShardFolder out(path, force);
  FATHOM_RETURN_IF_ERROR(make_directories(path));
  out.lock_ = FileDescriptor(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), 0);
  if (out.lock_.get() >= 0 && ::flock(out.lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK)
      return invalid_error("another process writes shards into ", printable(path),
                           "; wait for it, or give another folder");
    out.lock_.close();  // a file system without locks
  }
  const bool has_index = path_exists(join_path(path, kShardIndexName));
  if (has_index && !force)
    return invalid_error(printable(path),
                         " holds shards already; give another folder, or --force to "
                         "replace them");
  // They may be as large as what will be written.
  FATHOM_RETURN_IF_ERROR(
      out.remove_ours([&](const std::string& name) { return has_index && is_shard(name); }));
  return out;
}

Result<AtomicFile> ShardFolder::create(const std::string& name) const {
  return AtomicFile::create(join_path(path_, name), /*force=*/true);
}

Status ShardFolder::remove_ours(const std::function<bool(const std::string&)>& keep) const {
  FATHOM_TRY(const std::vector<std::string> names, list_folder(path_));
  for (const std::string& name : names) {
    // Without the lock a part may be another process's, and in use.
    const bool ours = is_shard(name) || (is_part(name) && lock_.get() >= 0);
    const std::string path = join_path(path_, name);
    if (ours && !keep(name) && ::unlink(path.c_str()) != 0)
      return io_error(str_cat("cannot remove ", printable(path)));
  }
  return {};
}

Status ShardFolder::publish(std::vector<AtomicFile> files, const std::set<std::string>& names,
                            std::string_view index) {
  // The index is on the disk before anything is replaced: if there is no room for it, that shows
  // while the old shards stand.
  const std::string index_path = join_path(path_, kShardIndexName);
  FATHOM_TRY(AtomicFile index_file, AtomicFile::create(index_path, force_));
  FATHOM_RETURN_IF_ERROR(index_file.append(index));
  FATHOM_RETURN_IF_ERROR(index_file.seal());
  // An index never names files that are not its own: killed from here on, the folder holds nothing.
  if (path_exists(index_path)) {
    const Result<std::string> target = absolute_path(index_path);
    if (::unlink((target.ok() ? *target : index_path).c_str()) != 0)
      return io_error(str_cat("cannot remove ", printable(index_path)));
  }
  for (AtomicFile& file : files) FATHOM_RETURN_IF_ERROR(file.commit());
  FATHOM_RETURN_IF_ERROR(index_file.commit());
  return remove_ours([&](const std::string& name) { return names.contains(name); });
}

}  // namespace fathom
