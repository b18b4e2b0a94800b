// "%s is %5.2f" % values: Python's printf-like formatting.
#include <cmath>
#include <cstdio>

#include "tokenizer/jinja_interpreter.h"
#include "tokenizer/jinja_literal.h"
#include "tokenizer/jinja_unicode.h"

namespace fathom::jinja {

namespace {

constexpr int64_t kMaxPrecision = 200;

struct Directive {
  std::string key;
  bool has_key = false, left = false, zero = false, plus = false, blank = false, alternate = false;
  int64_t width = 0;
  int64_t precision = -1;
  char type = 's';
};

// Digits of a width or precision from i on.
Result<int64_t> read_number(std::string_view text, size_t* i) {
  int64_t value = 0;
  for (; *i < text.size() && text[*i] >= '0' && text[*i] <= '9'; ++*i) {
    value = value * 10 + (text[*i] - '0');
    if (value > 100'000) return exhausted_error("a width in a format is larger than 100000");
  }
  return value;
}

Result<Directive> read_directive(std::string_view text, size_t* i) {
  Directive out;
  if (*i < text.size() && text[*i] == '(') {
    const size_t close = text.find(')', *i);
    if (close == std::string_view::npos) return invalid_error("a format's %( has no )");
    out.key = text.substr(*i + 1, close - *i - 1);
    out.has_key = true;
    *i = close + 1;
  }
  for (; *i < text.size(); ++*i) {
    const char c = text[*i];
    if (c == '-')
      out.left = true;
    else if (c == '0')
      out.zero = true;
    else if (c == '+')
      out.plus = true;
    else if (c == ' ')
      out.blank = true;
    else if (c == '#')
      out.alternate = true;
    else
      break;
  }
  FATHOM_TRY(out.width, read_number(text, i));
  if (*i < text.size() && text[*i] == '.') {
    ++*i;
    FATHOM_TRY(out.precision, read_number(text, i));
  }
  while (*i < text.size() && (text[*i] == 'l' || text[*i] == 'h' || text[*i] == 'L')) ++*i;
  if (*i >= text.size()) return invalid_error("a format ends after %");
  out.type = text[(*i)++];
  return out;
}

std::string sign_of(const Directive& d, bool negative) {
  return negative ? "-" : d.plus ? "+" : d.blank ? " " : "";
}

Result<std::string> integer_digits(const Directive& d, const Value& value) {
  Int number = 0;
  if (value.is_integral()) {
    number = value.as_int();
  } else if (value.is(Kind::kFloat) && d.type != 'x' && d.type != 'X' && d.type != 'o' &&
             std::fabs(value.bits.f) < 0x1p120) {
    number = static_cast<Int>(value.bits.f);
  } else {
    return invalid_error("%", d.type, " needs an integer, got ", type_name(value));
  }
  const unsigned base = d.type == 'x' || d.type == 'X' ? 16 : d.type == 'o' ? 8 : 10;
  Uint rest = number < 0 ? Uint{0} - static_cast<Uint>(number) : static_cast<Uint>(number);
  const std::string_view alphabet = d.type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
  std::string digits;
  do {
    digits.insert(digits.begin(), alphabet[static_cast<size_t>(rest % base)]);
    rest /= base;
  } while (rest != 0);
  if (d.precision > kMaxPrecision)
    return exhausted_error("a precision beyond ", kMaxPrecision, " in a format");
  while (static_cast<int64_t>(digits.size()) < d.precision) digits.insert(digits.begin(), '0');
  if (d.alternate && base != 10) digits = str_cat("0", d.type, digits);
  return sign_of(d, number < 0) + digits;
}

Result<std::string> float_digits(const Directive& d, const Value& value) {
  if (!value.is_number())
    return invalid_error("%", d.type, " needs a number, got ", type_name(value));
  if (d.precision > kMaxPrecision)
    return exhausted_error("a precision beyond ", kMaxPrecision, " in a format");
  const double f = value.as_double();
  char spec[16], buffer[768];
  std::snprintf(spec, sizeof spec, d.alternate ? "%%#.%d%c" : "%%.%d%c",
                d.precision < 0 ? 6 : static_cast<int>(d.precision), d.type);
  std::snprintf(buffer, sizeof buffer, spec, std::fabs(f));
  return sign_of(d, std::signbit(f)) + buffer;
}

// Puts body into the width; `trusted` is the origin of the directive, which the padding shares.
void append_padded(TextBuilder& out, const Directive& d, const JinjaText& body, bool is_number,
                   bool trusted) {
  const int64_t n_pad = d.width - count_chars(body.view());
  const std::string pad(static_cast<size_t>(n_pad > 0 ? n_pad : 0),
                        is_number && d.zero && !d.left ? '0' : ' ');
  const std::string_view text = body.view();
  const size_t sign =
      is_number && pad.starts_with('0') && !text.empty() && (text[0] == '-' || text[0] == '+') ? 1
                                                                                               : 0;
  out.append(body, 0, sign);
  if (!d.left) out.append(pad, trusted);
  out.append(body, sign, body.size());
  if (d.left) out.append(pad, trusted);
}

Status append_directive(TextBuilder& out, const Directive& d, const Value& value, bool trusted) {
  JinjaText body;
  bool is_number = false;
  switch (d.type) {
    case 's':
    case 'r': {
      TextBuilder text(out.heap());
      FATHOM_RETURN_IF_ERROR(d.type == 's' ? append_text(text, value) : append_repr(text, value));
      body = text.take();
      if (d.precision >= 0) body = body.slice(0, char_offset(body.view(), d.precision));
      break;
    }
    case 'd':
    case 'i':
    case 'u':
    case 'x':
    case 'X':
    case 'o': {
      FATHOM_TRY(std::string digits, integer_digits(d, value));
      body = JinjaText(std::move(digits), value.trusted);
      is_number = true;
      break;
    }
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G': {
      FATHOM_TRY(std::string digits, float_digits(d, value));
      body = JinjaText(std::move(digits), value.trusted);
      is_number = true;
      break;
    }
    case 'c': {
      if (value.is_string() && value.string().n_chars() == 1) {
        body = value.text();
        break;
      }
      const Int code = value.is_integral() ? value.as_int() : -1;
      if (code < 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return invalid_error("%c needs a character");
      std::string text;
      append_utf8(text, static_cast<uint32_t>(code));
      body = JinjaText(std::move(text), value.trusted);
      break;
    }
    default:
      return invalid_error("a format has the unknown directive %", d.type);
  }
  append_padded(out, d, body, is_number, trusted);
  return {};
}

}  // namespace

Result<Value> percent_format(Heap& heap, const Value& format, const Value& values) {
  const bool is_tuple =
      values.is(Kind::kSequence) && values.sequence().sequence_kind == SequenceKind::kTuple;
  const Values single = {values};
  const Values& items = is_tuple ? values.sequence().items : single;
  const std::string_view text = format.view();
  TextBuilder out(heap);
  size_t used = 0;
  for (size_t i = 0; i < text.size() && !heap.budget().failed();) {
    const size_t percent = std::min(text.find('%', i), text.size());
    out.append(format.text(), i, percent);
    if (percent == text.size()) break;
    i = percent + 1;
    FATHOM_TRY(const Directive d, read_directive(text, &i));
    const bool trusted = format.text().trusted_at(percent);
    if (d.type == '%') {
      out.append("%", trusted);
    } else if (d.has_key) {
      const Value* value = values.is(Kind::kDict) ? values.dict().find(d.key) : nullptr;
      if (value == nullptr)
        return invalid_error("a format needs a dict with the key '", d.key, "'");
      FATHOM_RETURN_IF_ERROR(append_directive(out, d, *value, trusted));
    } else {
      if (used >= items.size()) return invalid_error("a format has more directives than values");
      FATHOM_RETURN_IF_ERROR(append_directive(out, d, items[used++], trusted));
    }
  }
  const bool may_be_left = values.is(Kind::kDict) || (values.is(Kind::kSequence) && !is_tuple);
  if (used < items.size() && !may_be_left)
    return invalid_error("a format has fewer directives than values");
  return out.value(format.markup);
}

}  // namespace fathom::jinja
