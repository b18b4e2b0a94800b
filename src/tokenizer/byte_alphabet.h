// The byte alphabet of byte-level BPE: tokenizer.json spells every byte of a piece as one printable
// character. The 188 bytes that print stand for themselves, the other 68 are U+0100, U+0101, ... in
// order of value, so a blank is U+0120.
#pragma once

#include <string>
#include <string_view>

namespace fathom {

// The bytes that piece spells. False, and *bytes unspecified, if a character is not of the
// alphabet.
bool bytes_of_piece(std::string_view piece, std::string* bytes);

// The spelling of any bytes.
std::string piece_of_bytes(std::string_view bytes);

}  // namespace fathom
