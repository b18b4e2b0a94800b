#include "tokenizer/jinja_unicode.h"

#include <algorithm>

#include "base/utf8.h"
#include "tokenizer/jinja_unicode_data.h"

namespace fathom::jinja {

namespace {

// The first range that begins beyond code.
template <typename Range>
auto first_beyond(std::span<const Range> ranges, uint32_t code) {
  return std::upper_bound(ranges.begin(), ranges.end(), code,
                          [](uint32_t c, const Range& range) { return c < range.first; });
}

bool in_ranges(std::span<const CodeRange> ranges, uint32_t code) {
  const auto it = first_beyond(ranges, code);
  return it != ranges.begin() && code <= (it - 1)->last;
}

// The distance to the image, 0 if it is itself.
int32_t case_delta(std::span<const CaseRange> ranges, uint32_t code) {
  // Runs of stride 2 may interleave with another: look one further back as well.
  const auto it = first_beyond(ranges, code);
  for (ptrdiff_t back = 1; back <= 2 && it - ranges.begin() >= back; ++back) {
    const CaseRange& range = *(it - back);
    if (code <= range.last && (code - range.first) % static_cast<uint32_t>(range.stride) == 0)
      return range.delta;
  }
  return 0;
}

const char* expansion(std::span<const CaseExpansion> expansions, uint32_t code) {
  for (const CaseExpansion& entry : expansions) {
    if (entry.code == code) return entry.image;
  }
  return nullptr;
}

void append_mapped(std::string& out, uint32_t code, std::span<const CaseRange> ranges,
                   std::span<const CaseExpansion> expansions) {
  if (const char* image = expansion(expansions, code); image != nullptr) {
    out += image;
  } else {
    append_utf8(out, code + static_cast<uint32_t>(case_delta(ranges, code)));
  }
}

}  // namespace

Decoded decode_utf8(std::string_view text, size_t i) {
  const auto byte = [&](size_t k) { return static_cast<unsigned char>(text[k]); };
  const unsigned char lead = byte(i);
  if (lead < 0x80) return {lead, 1};
  const size_t n = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 0;
  if (n == 0 || lead > 0xf4 || i + n > text.size()) return {lead, 1};
  uint32_t code = lead & (0xffu >> (n + 1));
  for (size_t k = 1; k < n; ++k) {
    if (!continues_utf8(text[i + k])) return {lead, 1};
    code = code << 6 | (byte(i + k) & 0x3fu);
  }
  const bool overlong = (n == 3 && code < 0x800) || (n == 4 && code < 0x10000);
  if (overlong || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return {lead, 1};
  return {code, n};
}

void append_utf8(std::string& out, uint32_t code) {
  const auto tail = [&](int shift) { out += static_cast<char>(0x80 | ((code >> shift) & 0x3f)); };
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xc0 | code >> 6);
    tail(0);
  } else if (code < 0x10000) {
    out += static_cast<char>(0xe0 | code >> 12);
    tail(6);
    tail(0);
  } else {
    out += static_cast<char>(0xf0 | code >> 18);
    tail(12);
    tail(6);
    tail(0);
  }
}

bool is_valid_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const Decoded c = decode_utf8(text, i);
    if (c.n_bytes == 1 && c.code >= 0x80) return false;
    i += c.n_bytes;
  }
  return true;
}

int64_t count_chars(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return !continues_utf8(c); });
}

size_t char_offset(std::string_view text, int64_t n, size_t from) {
  size_t i = from;
  for (; n > 0 && i < text.size(); --n) {
    ++i;
    while (i < text.size() && continues_utf8(text[i])) ++i;
  }
  return i;
}

bool is_space(uint32_t code) {
  if (code < 0x80)
    return code == ' ' || (code >= 9 && code <= 13) || (code >= 0x1c && code <= 0x1f);
  return code == 0x85 || code == 0xa0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200a) ||
         code == 0x2028 || code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
}

bool is_printable(uint32_t code) {
  if (code < 0x80) return code >= 0x20 && code < 0x7f;
  return !in_ranges(unprintable_ranges(), code);
}

bool is_alpha(uint32_t code) {
  if (code < 0x80) return (code | 0x20) >= 'a' && (code | 0x20) <= 'z';
  return in_ranges(alpha_ranges(), code);
}

bool is_decimal(uint32_t code) {
  if (code < 0x80) return code >= '0' && code <= '9';
  return in_ranges(decimal_ranges(), code);
}

bool is_upper(uint32_t code) {
  if (code < 0x80) return code >= 'A' && code <= 'Z';
  return case_delta(lower_ranges(), code) != 0 || expansion(lower_expansions(), code) != nullptr;
}

bool is_lower(uint32_t code) {
  if (code < 0x80) return code >= 'a' && code <= 'z';
  return !is_upper(code) &&
         (case_delta(upper_ranges(), code) != 0 || expansion(upper_expansions(), code) != nullptr);
}

void append_upper(std::string& out, uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(is_lower(code) ? code - 32 : code);
  } else {
    append_mapped(out, code, upper_ranges(), upper_expansions());
  }
}

void append_lower(std::string& out, uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(is_upper(code) ? code + 32 : code);
  } else {
    append_mapped(out, code, lower_ranges(), lower_expansions());
  }
}

void append_title(std::string& out, uint32_t code) {
  if (const int32_t delta = case_delta(title_ranges(), code); delta != 0) {
    append_utf8(out, code + static_cast<uint32_t>(delta));
  } else if (const char* image = expansion(upper_expansions(), code); image != nullptr) {
    // "ß" becomes "Ss": the first of the characters stays upper.
    const std::string_view all = image;
    size_t i = decode_utf8(all, 0).n_bytes;
    out += all.substr(0, i);
    while (i < all.size()) {
      const Decoded next = decode_utf8(all, i);
      append_lower(out, next.code);
      i += next.n_bytes;
    }
  } else {
    append_upper(out, code);
  }
}

size_t leading_space(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    const Decoded c = decode_utf8(text, i);
    if (!is_space(c.code)) break;
    i += c.n_bytes;
  }
  return i;
}

size_t trailing_space(std::string_view text) {
  size_t end = text.size();
  while (end > 0) {
    size_t begin = end - 1;
    while (begin > 0 && end - begin < 4 && continues_utf8(text[begin])) --begin;
    const Decoded c = decode_utf8(text, begin);
    if (begin + c.n_bytes != end || !is_space(c.code)) break;
    end = begin;
  }
  return text.size() - end;
}

}  // namespace fathom::jinja
