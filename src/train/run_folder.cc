#include "train/run_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <system_error>

#include "io/printable.h"

namespace fathom {
namespace {

constexpr std::string_view kPrefix = "step-";
constexpr size_t kDigits = 8;  // at least: names sort as numbers do

std::string step_name(int64_t step) {
  const std::string digits = str_cat(step);
  const size_t zeros = digits.size() < kDigits ? kDigits - digits.size() : 0;
  return str_cat(kPrefix, std::string(zeros, '0'), digits);
}

// The step of a checkpoint's name, or -1.
int64_t step_of(std::string_view name) {
  if (!name.starts_with(kPrefix)) return -1;
  name.remove_prefix(kPrefix.size());
  if (name.size() < kDigits || name.size() > 18) return -1;
  int64_t step = 0;
  for (const char c : name) {
    if (c < '0' || c > '9') return -1;
    step = step * 10 + (c - '0');
  }
  return step;
}

Result<std::vector<std::string>> names_in(const std::string& folder) {
  struct Close {
    void operator()(DIR* dir) const { ::closedir(dir); }
  };
  std::vector<std::string> names;
  const std::unique_ptr<DIR, Close> dir(::opendir(folder.c_str()));
  if (dir == nullptr) {
    if (errno == ENOENT) return names;
    return io_error(str_cat("cannot list ", printable(folder)));
  }
  while (const dirent* entry = ::readdir(dir.get())) names.emplace_back(entry->d_name);
  return names;
}

// Names and contents of a folder are on the disk when it returns.
Status sync_folder(const std::string& folder) {
  const FileDescriptor fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), 0);
  if (fd.get() < 0 || ::fsync(fd.get()) != 0)
    return io_error(str_cat("cannot write ", printable(folder)));
  return {};
}

Status rename_to(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0)
    return io_error(str_cat("cannot rename ", printable(from)));
  return {};
}

Status remove_all(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) return invalid_error("cannot remove ", printable(path), ": ", error.message());
  return {};
}

// What stands for a checkpoint that is being written or removed.
std::string aside_name(int64_t step) { return str_cat(".", step_name(step), ".part"); }

}  // namespace

Result<RunFolder> RunFolder::open(const std::string& path) {
  FATHOM_RETURN_IF_ERROR(make_directories(join_path(path, "checkpoints")));
  const std::string lock_path = join_path(path, ".lock");
  FileDescriptor lock(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666), 0);
  if (lock.get() < 0) return io_error(str_cat("cannot write ", printable(lock_path)));
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return invalid_error("another process trains in ", printable(path),
                         "; wait for it, or give another output");
  }
  RunFolder folder(path, std::move(lock));
  FATHOM_TRY(const auto names, names_in(folder.checkpoints_folder()));
  for (const std::string& name : names) {
    const bool aside = name.starts_with(str_cat(".", kPrefix)) && name.ends_with(".part");
    if (aside) FATHOM_RETURN_IF_ERROR(remove_all(join_path(folder.checkpoints_folder(), name)));
  }
  return folder;
}

std::string RunFolder::checkpoint(int64_t step) const {
  return join_path(checkpoints_folder(), step_name(step));
}

Result<std::vector<int64_t>> RunFolder::checkpoints() const {
  FATHOM_TRY(const auto names, names_in(checkpoints_folder()));
  std::vector<int64_t> steps;
  for (const std::string& name : names) {
    if (step_of(name) >= 0) steps.push_back(step_of(name));
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

Status RunFolder::write_checkpoint(
    int64_t step, const std::function<Status(const std::string& folder)>& fill) const {
  if (path_exists(checkpoint(step))) return {};
  const std::string aside = join_path(checkpoints_folder(), aside_name(step));
  FATHOM_RETURN_IF_ERROR(remove_all(aside));
  FATHOM_RETURN_IF_ERROR(make_directories(aside));
  const Status filled = fill(aside);
  if (!filled.ok()) {
    static_cast<void>(remove_all(aside).ok());  // the first error is the one to tell
    return filled;
  }
  FATHOM_RETURN_IF_ERROR(sync_folder(aside));
  FATHOM_RETURN_IF_ERROR(rename_to(aside, checkpoint(step)));
  return sync_folder(checkpoints_folder());
}

Status RunFolder::remove_old(int64_t keep) const {
  if (keep <= 0) return {};
  FATHOM_TRY(const std::vector<int64_t> steps, checkpoints());
  for (size_t i = 0; i + static_cast<size_t>(keep) < steps.size(); ++i) {
    // Renamed first: half-removed it would still look complete.
    const std::string aside = join_path(checkpoints_folder(), aside_name(steps[i]));
    FATHOM_RETURN_IF_ERROR(rename_to(checkpoint(steps[i]), aside));
    FATHOM_RETURN_IF_ERROR(remove_all(aside));
  }
  return {};
}

Result<std::string> latest_model_folder(const std::string& path) {
  const std::string folder = join_path(path, "checkpoints");
  if (!is_directory(folder)) return path;
  FATHOM_TRY(const auto names, names_in(folder));
  std::string latest;
  int64_t latest_step = -1;
  for (const std::string& name : names) {
    if (step_of(name) <= latest_step) continue;
    latest = name;
    latest_step = step_of(name);
  }
  if (latest.empty())
    return invalid_error(printable(path), " is a run without a complete checkpoint");
  return join_path(folder, latest);
}

}  // namespace fathom
