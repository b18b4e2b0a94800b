// Reads the .xz files in which reference data is kept.
#pragma once

#include <string>
#include <vector>

namespace fathom::test {

// The uncompressed content. A file that is missing or damaged fails the test and gives "".
std::string read_xz(const std::string& path);

// Its lines, without their ends.
std::vector<std::string> read_xz_lines(const std::string& path);

}  // namespace fathom::test
