// Safetensors files put together by hand, so that tests can break any part of them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace fathom::testing_support {

// The 8 bytes of length, then header and data as they are.
inline std::string safetensors_bytes(std::string_view header, std::string_view data,
                                     int64_t length = -1) {
  const uint64_t n = length >= 0 ? static_cast<uint64_t>(length) : header.size();
  std::string out;
  for (int i = 0; i < 8; ++i) out += static_cast<char>((n >> (8 * i)) & 0xff);
  return out.append(header).append(data);
}

// Padded with blanks to a multiple of 8, as published files are.
inline std::string padded(std::string header) {
  while (header.size() % 8 != 0) header += ' ';
  return header;
}

}  // namespace fathom::testing_support
