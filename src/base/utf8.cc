#include "base/utf8.h"

#include <algorithm>

namespace fathom {

Utf8Char utf8_at(std::string_view text, size_t i) {
  const auto byte = [&](size_t k) { return static_cast<unsigned char>(text[k]); };
  const uint32_t lead = byte(i);
  if (lead < 0x80) return {lead, 1, true, false};
  if (lead < 0xc2 || lead > 0xf4) return {0xfffd, 1, false, false};
  const uint32_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  // The second byte excludes overlong forms, surrogates and what is beyond U+10FFFF; later ones are
  // free.
  uint32_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  uint32_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  uint32_t code_point = lead & (0x7fu >> length);
  for (uint32_t k = 1; k < length; ++k) {
    if (i + k >= text.size()) return {0xfffd, k, false, true};
    const uint32_t b = byte(i + k);
    if (b < low || b > high) return {0xfffd, k, false, false};
    code_point = code_point << 6 | (b & 0x3f);
    low = 0x80;
    high = 0xbf;
  }
  return {code_point, length, true, false};
}

size_t utf8_incomplete_tail(std::string_view text) {
  const size_t reach = std::min<size_t>(3, text.size());
  for (size_t back = reach; back >= 1; --back) {
    const size_t i = text.size() - back;
    // A sequence that is cut reaches the end; a continuation byte cannot begin one.
    const Utf8Char c = utf8_at(text, i);
    if (c.cut) return back;
  }
  return 0;
}

size_t utf8_first_error(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const Utf8Char c = utf8_at(text, i);
    if (!c.valid) return i;
    i += c.length;
  }
  return text.size();
}

bool is_valid_utf8(std::string_view text) { return utf8_first_error(text) == text.size(); }

void append_utf8_lossy(std::string& out, std::string_view text) {
  size_t good = 0;  // text[good, i) is well-formed and not yet appended
  for (size_t i = 0; i < text.size();) {
    const Utf8Char c = utf8_at(text, i);
    if (!c.valid) {
      out.append(text.substr(good, i - good));
      out += "\xef\xbf\xbd";
      good = i + c.length;
    }
    i += c.length;
  }
  out.append(text.substr(good));
}

void append_utf8(std::string& out, char32_t code_point) {
  const auto put = [&](uint32_t value) { out += static_cast<char>(value); };
  const uint32_t c = code_point;
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xc0 | c >> 6);
    put(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    put(0xe0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3f));
    put(0x80 | (c & 0x3f));
  } else {
    put(0xf0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3f));
    put(0x80 | (c >> 6 & 0x3f));
    put(0x80 | (c & 0x3f));
  }
}

}  // namespace fathom
