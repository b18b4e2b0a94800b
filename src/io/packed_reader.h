// A file read from its beginning to its end, unpacked on the way if it is .xz, .zst or .gz (by its
// first bytes, not its name). Memory is bounded, whatever the file says. The one adapter to
// liblzma, libzstd and zlib.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"

namespace fathom {

class PackedReader {
 public:
  // "-" is standard input. Nothing is read of it yet. stop_fd: once there is something to read from
  // it, reads that would wait for a pipe end with kInterrupted; -1: nothing stops them. Errors: no
  // such file, a folder.
  static Result<PackedReader> open(const std::string& path, int stop_fd = -1);
  PackedReader(PackedReader&&) noexcept;
  PackedReader& operator=(PackedReader&&) noexcept;
  ~PackedReader();

  // The next bytes; 0 at the end. Errors: the file is damaged or cut short, or needs more than the
  // memory allowed.
  Result<size_t> read(std::span<char> out);
  const std::string& name() const;              // for messages
  int64_t packed_bytes_read() const;            // of the file
  std::optional<int64_t> packed_bytes() const;  // all of it; nothing if it is a pipe

 private:
  struct State;
  explicit PackedReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace fathom
