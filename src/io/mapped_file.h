// A file mapped read-only into memory. Pages come from the disk when they are first touched and
// belong to the page cache, so that weights are shared between processes and cost no second copy.
//
// A mapped file that someone truncates, or whose disk fails, answers with the signal SIGBUS instead
// of an error. install_sigbus_message() turns that into one sentence that names the file and exit
// code 1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace fathom {

class MappedFile {
 public:
  // Symbolic links are followed. Refused with a sentence: what does not exist, may not be read, or
  // is no regular file (a directory, a pipe, a device); opening never blocks. An empty file maps to
  // no bytes.
  static Result<MappedFile> open(const std::string& path);

  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  // Starts at a page, so it is aligned for every element type.
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }
  const std::string& path() const { return path_; }  // as it was opened

 private:
  void unmap();

  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  std::string path_;
  int slot_ = -1;  // in the list that the signal handler reads; -1: none was free
};

// Lets go of the pages of a mapped file that lie wholly within bytes: they no longer count as this
// process's memory, and come back from the page cache or the disk when they are touched again.
void release_mapped_pages(std::span<const std::byte> bytes);

// Installs the handler once for the process (called by main). Faults outside mapped files keep the
// default.
void install_sigbus_message();

}  // namespace fathom
