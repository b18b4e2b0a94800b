// A folder for one test, removed with all it holds at the end.
#pragma once

#include <string>
#include <string_view>

namespace fathom::test {

class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }
  std::string file(std::string_view name) const;  // path of a file in it, which need not exist
  // Writes a file (and the folders above it) and returns its path.
  std::string write(std::string_view name, std::string_view text) const;

 private:
  std::string path_;
};

// The whole of a file; fails the test if it cannot be read.
std::string read_file(const std::string& path);

}  // namespace fathom::test
