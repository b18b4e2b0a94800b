// SHA-256 (FIPS 180-4), the checksum that hubs publish for large files.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace fathom {

class Sha256 {
 public:
  // The message in pieces of any size.
  void update(std::span<const std::byte> bytes);
  // The digest as 64 lower-case hexadecimal digits. Ends the message: nothing may follow.
  std::string finish();

 private:
  void block(const uint8_t* bytes);

  std::array<uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<uint8_t, 64> buffer_ = {};
  size_t buffered_ = 0;
  uint64_t total_ = 0;  // bytes
};

std::string sha256_hex(std::span<const std::byte> bytes);

}  // namespace fathom
