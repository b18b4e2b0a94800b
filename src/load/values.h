// Values as people write them on the command line of a load, and numbers as its reports print them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace fathom {

inline constexpr int64_t kLoadTokensMax = 1'000'000;

// How many tokens a prompt or an answer has: from low to high, both included.
struct TokenRange {
  int64_t low = 1;
  int64_t high = 1;
};

// "128", or "64-256"; from 1 to kLoadTokensMax. The error begins with what was given.
Result<TokenRange> parse_token_range(std::string_view text);

// "30s", "500ms", "2m", "1h"; a number alone is seconds. In seconds, more than 0, at most a day.
Result<double> parse_duration(std::string_view text);

// 1.25 with two digits is "1.25". Values beyond what a report can mean become "-".
std::string fixed_digits(double value, int digits);
// Three digits or more, never more decimals than mean something: "1.23", "12.3", "1234".
std::string short_number(double value);

}  // namespace fathom
