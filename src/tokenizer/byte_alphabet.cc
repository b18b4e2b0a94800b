#include "tokenizer/byte_alphabet.h"

#include <array>
#include <cstdint>

#include "base/utf8.h"

namespace fathom {
namespace {

constexpr size_t kLetters = 0x100 + 68;

struct Alphabet {
  std::array<int16_t, kLetters> byte_of{};  // -1: not of the alphabet
  std::array<uint16_t, 256> letter_of{};

  Alphabet() {
    byte_of.fill(-1);
    uint16_t next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      const bool prints = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad);
      const uint16_t letter = prints ? static_cast<uint16_t>(byte) : next++;
      letter_of[static_cast<size_t>(byte)] = letter;
      byte_of[letter] = static_cast<int16_t>(byte);
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet instance;
  return instance;
}

}  // namespace

bool bytes_of_piece(std::string_view piece, std::string* bytes) {
  const Alphabet& letters = alphabet();
  bytes->clear();
  for (size_t i = 0; i < piece.size();) {
    const Utf8Char c = utf8_at(piece, i);
    if (!c.valid || c.code_point >= kLetters || letters.byte_of[c.code_point] < 0) return false;
    *bytes += static_cast<char>(letters.byte_of[c.code_point]);
    i += c.length;
  }
  return true;
}

std::string piece_of_bytes(std::string_view bytes) {
  std::string piece;
  for (const char byte : bytes) {
    append_utf8(piece, alphabet().letter_of[static_cast<unsigned char>(byte)]);
  }
  return piece;
}

}  // namespace fathom
