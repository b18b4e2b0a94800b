// Whole files in and out. Output is written beside its final name and renamed when it is complete,
// so that a name never stands for half a file; what exists is replaced only when asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace fathom {

// An open file; closes itself.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  FileDescriptor(int fd, int64_t size) : fd_(fd), size_(size) {}
  FileDescriptor(FileDescriptor&& other) noexcept;
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor();

  int get() const { return fd_; }
  int64_t size() const { return size_; }  // when it was opened
  int release() { return std::exchange(fd_, -1); }
  void close();

 private:
  int fd_ = -1;
  int64_t size_ = 0;
};

// A regular file, through symbolic links; never blocks (a pipe is refused, not waited for).
Result<FileDescriptor> open_for_reading(const std::string& path);

inline constexpr int64_t kSmallFileBytesMax = int64_t{256} << 20;  // configs, tokenizers, indexes

// Reads from an offset on until out is full or the file ends: how many bytes, or -1 and errno.
int64_t read_at(int fd, int64_t offset, std::span<std::byte> out);

// The whole file, refused before it is read if it is larger than bytes_max.
Result<std::string> read_file(const std::string& path, int64_t bytes_max = kSmallFileBytesMax);

// True for anything that stands at the path, dangling links included.
bool path_exists(const std::string& path);
bool is_directory(const std::string& path);
// Creates the folder and those above it; one that is there already is fine.
Status make_directories(const std::string& path);
// The names of what stands in a folder, in no order.
Result<std::vector<std::string>> list_folder(const std::string& path);
// Of something that exists, symbolic links followed.
Result<std::string> absolute_path(const std::string& path);
// "a/b", whatever slashes a ends with.
std::string join_path(std::string_view folder, std::string_view name);

// Removes what AtomicFiles have not completed, as their destructors would. For signal handlers that
// end the program: safe there (no locks, no allocation). Nothing may write to such files
// afterwards.
void remove_unfinished_files();

// A place in the list that remove_unfinished_files() reads; moves with its owner. The list holds 64
// names: a program that writes more at once leaves the others behind when a signal ends it.
class UnfinishedName {
 public:
  explicit UnfinishedName(const std::string& path);
  UnfinishedName(UnfinishedName&& other) noexcept : slot_(std::exchange(other.slot_, -1)) {}
  UnfinishedName& operator=(UnfinishedName&&) = delete;
  ~UnfinishedName() { forget(); }
  void forget();

 private:
  int slot_ = -1;
};

// How the names begin under which files are written beside one of that name, until they are
// complete; they end with ".part".
std::string temporary_prefix(std::string_view name);

// A file that gets its name when it is complete. Destroyed before commit(): nothing remains of it.
class AtomicFile {
 public:
  // Something stands at the path and force is false: an error now, and again at commit() if it came
  // meanwhile. Directories and devices are never replaced. A symbolic link keeps pointing: its
  // target is replaced.
  static Result<AtomicFile> create(const std::string& path, bool force);

  AtomicFile(AtomicFile&& other) noexcept
      : file_(std::move(other.file_)),
        path_(std::move(other.path_)),
        temporary_(std::exchange(other.temporary_, {})),
        unfinished_(std::move(other.unfinished_)),
        force_(other.force_),
        end_(other.end_) {}
  AtomicFile& operator=(AtomicFile&&) noexcept = delete;
  ~AtomicFile();

  Status append(std::span<const std::byte> bytes);
  Status append(std::string_view text);
  // Any order, also beyond the end; does not move append().
  Status write_at(int64_t offset, std::span<const std::byte> bytes);
  // Flushes to the disk and closes: nothing can be written any more, commit() only renames. For
  // files of which several become visible together.
  Status seal();
  // Flushes to the disk, then renames.
  Status commit();

 private:
  AtomicFile(FileDescriptor file, std::string path, std::string temporary, UnfinishedName name,
             bool force)
      : file_(std::move(file)),
        path_(std::move(path)),
        temporary_(std::move(temporary)),
        unfinished_(std::move(name)),
        force_(force) {}

  FileDescriptor file_;
  std::string path_;
  std::string temporary_;  // empty: committed, or moved from
  UnfinishedName unfinished_;
  bool force_ = false;
  int64_t end_ = 0;
};

// create, append, commit.
Status write_file(const std::string& path, std::string_view text, bool force);

}  // namespace fathom
