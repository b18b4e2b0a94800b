// UTF-8: reading one character, finding what is ill-formed, and showing it as U+FFFD.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace fathom {

// What some programs write at the beginning of a text; no part of it.
inline constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

struct Utf8Char {
  char32_t code_point;  // U+FFFD if not valid
  uint32_t length;      // bytes; of an ill-formed sequence its maximal part that could have begun a
                        // character (1..3)
  bool valid;
  bool cut;  // ill-formed only because the text ends here: further bytes could complete it
};

// Whether the byte is none that a character begins with (10xxxxxx).
constexpr bool continues_utf8(char byte) {
  return (static_cast<unsigned char>(byte) & 0xc0u) == 0x80u;
}

// The character at text[i], i < text.size().
Utf8Char utf8_at(std::string_view text, size_t i);

// How many bytes at the end of text begin a character that further bytes could still complete:
// 0..3.
size_t utf8_incomplete_tail(std::string_view text);

bool is_valid_utf8(std::string_view text);
// Where the first ill-formed byte stands; text.size() if there is none.
size_t utf8_first_error(std::string_view text);

// Appends text with each maximal ill-formed part replaced by one U+FFFD.
void append_utf8_lossy(std::string& out, std::string_view text);

// code_point < 0x110000 and no surrogate.
void append_utf8(std::string& out, char32_t code_point);

}  // namespace fathom
