// The folder of a run: its configuration, logs, and checkpoints/step-00000100, ... Checkpoints are
// folders that are written aside and renamed when complete, so that a name never stands for half of
// one; which is the latest is decided by listing. One process at a time, by a lock.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/files.h"

namespace fathom {

class RunFolder {
 public:
  // Makes the folder if it is not there, takes its lock, and removes what killed runs left
  // half-written. Errors: another process trains here.
  static Result<RunFolder> open(const std::string& path);

  const std::string& path() const { return path_; }
  std::string file(std::string_view name) const { return join_path(path_, name); }
  std::string checkpoint(int64_t step) const;

  // Steps of the complete checkpoints, ascending.
  Result<std::vector<int64_t>> checkpoints() const;
  // fill writes the files into the folder it is given. A checkpoint of that step that is there
  // already is left alone: it holds the same.
  Status write_checkpoint(int64_t step,
                          const std::function<Status(const std::string& folder)>& fill) const;
  // Removes all but the newest `keep` checkpoints; 0 keeps all.
  Status remove_old(int64_t keep) const;

 private:
  RunFolder(std::string path, FileDescriptor lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}
  std::string checkpoints_folder() const { return file("checkpoints"); }

  std::string path_;
  FileDescriptor lock_;
};

// A run's folder stands for its latest checkpoint; any other path for itself.
Result<std::string> latest_model_folder(const std::string& path);

}  // namespace fathom
