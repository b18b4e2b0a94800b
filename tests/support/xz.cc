#include "tests/support/xz.h"

#include <gtest/gtest.h>
#include <lzma.h>

#include <array>
#include <fstream>
#include <sstream>

namespace fathom::test {

std::string read_xz(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream packed_stream;
  packed_stream << file.rdbuf();
  const std::string packed = packed_stream.str();
  if (!file || packed.empty()) {
    ADD_FAILURE() << "cannot read " << path;
    return "";
  }
  lzma_stream stream = LZMA_STREAM_INIT;
  std::string content;
  if (lzma_stream_decoder(&stream, UINT64_MAX, LZMA_CONCATENATED) == LZMA_OK) {
    std::array<uint8_t, 1 << 16> buffer;
    stream.next_in = reinterpret_cast<const uint8_t*>(packed.data());
    stream.avail_in = packed.size();
    lzma_ret status = LZMA_OK;
    while (status == LZMA_OK) {
      stream.next_out = buffer.data();
      stream.avail_out = buffer.size();
      status = lzma_code(&stream, LZMA_FINISH);
      content.append(reinterpret_cast<const char*>(buffer.data()),
                     buffer.size() - stream.avail_out);
    }
    EXPECT_EQ(status, LZMA_STREAM_END) << path << " is damaged";
  }
  lzma_end(&stream);
  return content;
}

std::vector<std::string> read_xz_lines(const std::string& path) {
  std::vector<std::string> lines;
  std::istringstream content(read_xz(path));
  for (std::string line; std::getline(content, line);) lines.push_back(line);
  return lines;
}

}  // namespace fathom::test
