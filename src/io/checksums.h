// Whether files still are what was published, where their checksums are known: from a SHA256SUMS
// beside them, or, in a hub's cache, from the name of the file that a link leads to (64 hexadecimal
// digits).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/model_files.h"

namespace fathom {

inline constexpr std::string_view kChecksumsName = "SHA256SUMS";

struct FileChecksum {
  std::string name;
  std::string sha256;  // 64 lower-case hexadecimal digits
};

// Those of the given files that are known; a SHA256SUMS that cannot be read is an error that names
// the line.
Result<std::vector<FileChecksum>> known_checksums(const ModelFiles& files,
                                                  const std::vector<std::string>& names);

// Reads the whole file (about 0.3 GB/s); a difference is an error that names it.
Status verify_checksum(const ModelFiles& files, const FileChecksum& expected);

}  // namespace fathom
