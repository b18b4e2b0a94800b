// Patterns of tokenizers are written for Oniguruma or Rust's regex crate; PCRE2 reads some of their
// signs differently, and silently. This rewrites what differs and refuses what has no equal:
//   \s \S        White_Space (PCRE2 adds U+180E)
//   \p{Han}      the script (PCRE2 takes script extensions)
//   [A&&[^B]]    intersection of general categories with what is not B (PCRE2 has none)
//   refused      nested classes, \w \b \h \X and other escapes outside the list, back references,
//   inline flags other
//                than (?i:...), recursion, verbs, possessive quantifiers and atomic groups
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace fathom {

// The pattern for PCRE2 with UTF, UCP and MULTILINE. The error names the sign and its offset.
Result<std::string> regex_for_pcre2(std::string_view pattern);

}  // namespace fathom
