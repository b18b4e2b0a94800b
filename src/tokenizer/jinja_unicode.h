// UTF-8 by characters, and what Python's str methods know about them. Malformed bytes, which no
// caller should bring, count as one character each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace fathom::jinja {

struct Decoded {
  uint32_t code;
  size_t n_bytes;  // >= 1
};
// The character at text[i]; i < text.size().
Decoded decode_utf8(std::string_view text, size_t i);
void append_utf8(std::string& out, uint32_t code);
bool is_valid_utf8(std::string_view text);

int64_t count_chars(std::string_view text);
// The byte at which the n-th character from byte `from` begins; text.size() if there are fewer.
size_t char_offset(std::string_view text, int64_t n, size_t from = 0);

bool is_space(uint32_t code);
bool is_printable(uint32_t code);
bool is_alpha(uint32_t code);
bool is_decimal(uint32_t code);
bool is_upper(uint32_t code);  // a lower form exists
bool is_lower(uint32_t code);  // an upper form exists

void append_upper(std::string& out, uint32_t code);
void append_lower(std::string& out, uint32_t code);
void append_title(std::string& out, uint32_t code);

// Bytes of white space at the beginning and at the end.
size_t leading_space(std::string_view text);
size_t trailing_space(std::string_view text);

}  // namespace fathom::jinja
