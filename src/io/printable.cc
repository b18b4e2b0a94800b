#include "io/printable.h"

#include "base/utf8.h"

namespace fathom {

namespace {

// What would act on a terminal in place of being shown: controls (C0, DEL, C1), separators of
// lines, and those that turn the direction of the text around.
bool acts(char32_t c) {
  return c < 0x20 || (c >= 0x7f && c <= 0x9f) || (c >= 0x2028 && c <= 0x202e) ||
         (c >= 0x2066 && c <= 0x2069);
}

void append_escape(std::string& out, char32_t c) {
  static constexpr char kHex[] = "0123456789abcdef";
  if (c == '\n') {
    out += "\\n";
  } else if (c == '\t') {
    out += "\\t";
  } else if (c == '\r') {
    out += "\\r";
  } else {
    out += "\\u";
    for (int shift = 12; shift >= 0; shift -= 4) out += kHex[(c >> shift) & 0xf];
  }
}

}  // namespace

std::string printable(std::string_view text, size_t max_bytes) {
  const bool cut = text.size() > max_bytes;
  text = text.substr(0, max_bytes);
  if (cut) text.remove_suffix(utf8_incomplete_tail(text));
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const Utf8Char c = utf8_at(text, i);
    if (c.valid && acts(c.code_point)) {
      append_escape(out, c.code_point);
    } else {
      append_utf8_lossy(out, text.substr(i, c.length));
    }
    i += c.length;
  }
  if (cut) out += "...";
  return out;
}

}  // namespace fathom
