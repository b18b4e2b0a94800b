#include "load/values.h"

#include <charconv>
#include <cmath>

#include "base/str_cat.h"

namespace fathom {

namespace {

constexpr double kDurationMax = 24 * 3600.0;
constexpr double kPrintedMax = 1e15;

bool whole(std::string_view text, int64_t& value) {
  const char* const end = text.data() + text.size();
  const auto [rest, ec] = std::from_chars(text.data(), end, value);
  return ec == std::errc() && rest == end && value >= 1 && value <= kLoadTokensMax;
}

}  // namespace

Result<TokenRange> parse_token_range(std::string_view text) {
  TokenRange range;
  const size_t dash = text.find('-');
  const bool is_one = dash == std::string_view::npos;
  const bool ok = whole(text.substr(0, dash), range.low) &&
                  (is_one || whole(text.substr(dash + 1), range.high));
  if (is_one) range.high = range.low;
  if (!ok || range.low > range.high)
    return usage_error("'", text, "' is no number of tokens; write one from 1 to ", kLoadTokensMax,
                       ", or two as in 64-256");
  return range;
}

Result<double> parse_duration(std::string_view text) {
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, ec] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  const std::string_view unit(rest, static_cast<size_t>(end - rest));
  const double factor = unit.empty() || unit == "s" ? 1
                        : unit == "ms"              ? 1e-3
                        : unit == "m"               ? 60
                        : unit == "h"               ? 3600
                                                    : 0;
  const double seconds = number * factor;
  if (ec != std::errc() || !(seconds > 0 && seconds <= kDurationMax))
    return usage_error("'", text, "' is no duration; write one as in 30s, 500ms, 2m or 1h");
  return seconds;
}

std::string fixed_digits(double value, int digits) {
  if (!(std::abs(value) < kPrintedMax)) return "-";
  char buffer[64];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed, digits).ptr;
  return std::string(buffer, end);
}

std::string short_number(double value) {
  return fixed_digits(value, value < 10 ? 2 : value < 100 ? 1 : 0);
}

}  // namespace fathom
