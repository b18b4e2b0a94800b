// Tables of the characters beyond ASCII (jinja_unicode_data.cc, written by tools/jinja_unicode.py).
#pragma once

#include <cstdint>
#include <span>

namespace fathom::jinja {

struct CodeRange {
  uint32_t first, last;
};
// first, first + stride, ..., last: each maps to itself + delta.
struct CaseRange {
  uint32_t first, last;
  int32_t stride, delta;
};
// Characters whose image is more than one character, as UTF-8.
struct CaseExpansion {
  uint32_t code;
  const char* image;
};

std::span<const CaseRange> upper_ranges();
std::span<const CaseRange> lower_ranges();
std::span<const CaseRange> title_ranges();  // only where the title form is not the upper form
std::span<const CaseExpansion> upper_expansions();
std::span<const CaseExpansion> lower_expansions();
std::span<const CodeRange> unprintable_ranges();
std::span<const CodeRange> alpha_ranges();
std::span<const CodeRange> decimal_ranges();

}  // namespace fathom::jinja
