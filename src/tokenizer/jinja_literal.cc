#include "tokenizer/jinja_literal.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "tokenizer/jinja_unicode.h"

namespace fathom::jinja {

namespace {

int digit_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'z' ? lower - 'a' + 10 : 99;
}

// Hexadecimal digits of \x, \u, \U.
Result<uint32_t> hex_escape(std::string_view text, size_t begin, size_t n_digits) {
  uint32_t code = 0;
  for (size_t i = begin; i < begin + n_digits; ++i) {
    if (i >= text.size() || digit_value(text[i]) >= 16) {
      return invalid_error("the escape \\", text[begin - 1], " needs ", n_digits,
                           " hexadecimal digits");
    }
    code = code * 16 + static_cast<uint32_t>(digit_value(text[i]));
  }
  if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) {
    return invalid_error("the escape \\", text.substr(begin - 1, n_digits + 1),
                         " is no Unicode character");
  }
  return code;
}

char simple_escape(char c) {
  switch (c) {
    case 'n':
      return '\n';
    case 't':
      return '\t';
    case 'r':
      return '\r';
    case 'a':
      return '\a';
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'v':
      return '\v';
    case '\\':
    case '\'':
    case '"':
      return c;
    default:
      return '\0';
  }
}

}  // namespace

Result<std::string> unescape_literal(std::string_view quoted) {
  std::string out;
  out.reserve(quoted.size());
  for (size_t i = 0; i < quoted.size();) {
    if (quoted[i] != '\\' || i + 1 >= quoted.size()) {
      out += quoted[i++];
      continue;
    }
    const char c = quoted[i + 1];
    i += 2;
    if (const char simple = simple_escape(c); simple != '\0') {
      out += simple;
    } else if (c == 'x' || c == 'u' || c == 'U') {
      const size_t n = c == 'x' ? 2 : c == 'u' ? 4 : 8;
      FATHOM_TRY(const uint32_t code, hex_escape(quoted, i, n));
      append_utf8(out, code);
      i += n;
    } else if (c >= '0' && c <= '7') {
      uint32_t code = static_cast<uint32_t>(c - '0');
      for (int k = 0; k < 2 && i < quoted.size() && quoted[i] >= '0' && quoted[i] <= '7'; ++k) {
        code = code * 8 + static_cast<uint32_t>(quoted[i++] - '0');
      }
      append_utf8(out, code);
    } else if (c == 'N') {
      return invalid_error("escapes by a character's name (\\N) are not supported");
    } else if (c != '\n') {  // a line break after a backslash is nothing
      out += '\\';
      out += c;
    }
  }
  return out;
}

std::optional<Int> parse_integer(std::string_view digits, int base) {
  bool negative = false;
  if (!digits.empty() && (digits[0] == '-' || digits[0] == '+')) {
    negative = digits[0] == '-';
    digits.remove_prefix(1);
  }
  if (digits.size() > 2 && digits[0] == '0') {
    const char c = static_cast<char>(digits[1] | 0x20);
    const int prefix = c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 0;
    if (prefix != 0 && (prefix == base || base == 0)) {
      base = prefix;
      digits.remove_prefix(digits[2] == '_' ? 3 : 2);
    }
  }
  if (base == 0) base = 10;
  Int value = 0;
  bool after_digit = false;
  for (const char c : digits) {
    if (c == '_' && after_digit) {
      after_digit = false;
      continue;
    }
    if (digit_value(c) >= base) return std::nullopt;
    after_digit = true;
    if (__builtin_mul_overflow(value, Int{base}, &value)) return std::nullopt;
    if (__builtin_add_overflow(value, Int{digit_value(c)}, &value)) return std::nullopt;
  }
  if (!after_digit) return std::nullopt;
  return negative ? -value : value;
}

std::optional<double> parse_float(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  std::string digits;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto is_digit = [&](size_t k) {
      return k < text.size() && text[k] >= '0' && text[k] <= '9';
    };
    if (text[i] == '_' && i > 0 && is_digit(i - 1) && is_digit(i + 1)) continue;
    digits += static_cast<char>(text[i] >= 'A' && text[i] <= 'Z' ? text[i] | 0x20 : text[i]);
  }
  double value = 0.0;
  const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (code == std::errc::result_out_of_range) {
    // Too small is 0, too large is infinite: the sign of the exponent tells, since digits alone
    // stay finite.
    value = digits.find("e-") != std::string::npos ? 0.0 : std::numeric_limits<double>::infinity();
  } else if (code != std::errc()) {
    return std::nullopt;
  }
  const bool is_word = digits.find_first_of("in") != std::string::npos;
  const bool known_word = digits == "inf" || digits == "infinity" || digits == "nan";
  if (end != digits.data() + digits.size() || (is_word && !known_word)) return std::nullopt;
  return negative ? -value : value;
}

std::string integer_text(Int value) {
  Uint rest = value < 0 ? Uint{0} - static_cast<Uint>(value) : static_cast<Uint>(value);
  std::string out;
  do {
    out += static_cast<char>('0' + static_cast<int>(rest % 10));
    rest /= 10;
  } while (rest != 0);
  if (value < 0) out += '-';
  std::reverse(out.begin(), out.end());
  return out;
}

}  // namespace fathom::jinja
