#include "tokenizer/jinja_lexer.h"

#include <algorithm>
#include <array>
#include <utility>

#include "tokenizer/jinja_literal.h"
#include "tokenizer/jinja_unicode.h"

namespace fathom::jinja {

namespace {

constexpr std::array<std::string_view, 26> kOperators = {
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
    "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// As Python's \w: letters, digits, underscore; beyond ASCII, what Python calls letters and digits.
bool is_word(uint32_t code) { return code == '_' || is_alpha(code) || is_decimal(code); }

// Line breaks become \n, and one at the end of the template goes.
std::string normal_lines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
      continue;
    }
    out += '\n';
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string source) : source_(std::move(source)) {}

  Result<std::vector<Token>> run() {
    while (position_ < source_.size()) FATHOM_RETURN_IF_ERROR(root());
    add(TokenType::kEnd, "");
    return std::move(tokens_);
  }

 private:
  std::string_view rest() const { return std::string_view(source_).substr(position_); }
  bool starts_with(std::string_view word) const { return rest().starts_with(word); }

  void add(TokenType type, std::string_view text) {
    tokens_.push_back({type, line_, std::string(text)});
  }

  void advance(size_t n_bytes) {
    line_ += static_cast<int32_t>(
        std::count(source_.begin() + static_cast<ptrdiff_t>(position_),
                   source_.begin() + static_cast<ptrdiff_t>(position_ + n_bytes), '\n'));
    position_ += n_bytes;
    if (n_bytes > 0) line_starting_ = source_[position_ - 1] == '\n';
  }
  void skip_space() { advance(leading_space(rest())); }

  // Text up to `end`, which is where a tag with this sign begins, less the blanks that the tag
  // takes away.
  void add_data(size_t end, char sign, bool may_lstrip) {
    std::string_view text = std::string_view(source_).substr(position_, end - position_);
    std::string_view kept = text;
    if (sign == '-') {
      kept.remove_suffix(trailing_space(text));
    } else if (sign != '+' && may_lstrip) {
      const size_t newline = text.rfind('\n');
      const size_t line_begin = newline == std::string_view::npos ? 0 : newline + 1;
      const std::string_view last_line = text.substr(line_begin);
      if ((line_begin > 0 || line_starting_) && leading_space(last_line) == last_line.size()) {
        kept = text.substr(0, line_begin);
      }
    }
    if (!kept.empty()) add(TokenType::kData, kept);
    advance(end - position_);
  }

  static char sign_at(std::string_view text, size_t i) {
    return i < text.size() && (text[i] == '-' || text[i] == '+') ? text[i] : '\0';
  }

  // One piece of text and the tag after it.
  Status root() {
    size_t tag = position_;
    while (tag = source_.find('{', tag), tag != std::string::npos) {
      const char next = tag + 1 < source_.size() ? source_[tag + 1] : '\0';
      if (next == '%' || next == '{' || next == '#') break;
      ++tag;
    }
    if (tag == std::string::npos) {
      add(TokenType::kData, rest());
      advance(source_.size() - position_);
      return {};
    }
    const char kind = source_[tag + 1];
    const char sign = sign_at(source_, tag + 2);
    add_data(tag, sign, kind != '{');
    if (kind == '%') {
      if (const size_t n = raw_tag_length("raw"); n > 0) return raw(n);
    }
    const int32_t line = line_;
    advance(sign == '\0' ? 2 : 3);
    if (kind == '#') return comment(line);
    tokens_.push_back({kind == '%' ? TokenType::kBlockBegin : TokenType::kVariableBegin, line, ""});
    return kind == '%' ? expression("%}", TokenType::kBlockEnd)
                       : expression("}}", TokenType::kVariableEnd);
  }

  // At a closing tag, perhaps with a sign: its length with the white space that goes with it; 0 if
  // it is none.
  size_t closing_length(std::string_view close, bool with_plus) const {
    std::string_view text = rest();
    if (text.starts_with('-') && text.substr(1).starts_with(close))
      return 3 + leading_space(text.substr(3));
    if (with_plus && text.starts_with('+') && text.substr(1).starts_with(close)) return 3;
    if (!text.starts_with(close)) return 0;
    const bool trims = close != "}}";
    return trims && text.substr(2).starts_with('\n') ? 3 : 2;
  }

  Status comment(int32_t begin_line) {
    const size_t close = source_.find("#}", position_);
    if (close == std::string::npos) return syntax_error(begin_line, "a comment {# has no end #}");
    const bool signed_close = close > position_ && sign_at(source_, close - 1) != '\0';
    advance(close - position_ - (signed_close ? 1 : 0));
    advance(closing_length("#}", true));
    return {};
  }

  // At "{%": the length of "{%- raw -%}", or 0 if that is not what stands there.
  size_t raw_tag_length(std::string_view word) const {
    const std::string_view text = rest();
    size_t i = sign_at(text, 2) == '\0' ? 2 : 3;
    i += leading_space(text.substr(i));
    if (!text.substr(i).starts_with(word)) return 0;
    i += word.size();
    i += leading_space(text.substr(i));
    const std::string_view tail = text.substr(i);
    const bool is_end = word == "endraw";
    if (tail.starts_with("-%}")) return i + 3 + leading_space(tail.substr(3));
    if (is_end && tail.starts_with("+%}")) return i + 3;
    if (!tail.starts_with("%}")) return 0;
    return i + 2 + (is_end && tail.substr(2).starts_with('\n') ? 1 : 0);
  }

  Status raw(size_t opening) {
    const int32_t begin_line = line_;
    advance(opening);
    size_t tag = position_;
    const size_t content = position_;
    while (tag = source_.find("{%", tag), tag != std::string::npos) {
      const size_t saved = std::exchange(position_, tag);
      const size_t n = raw_tag_length("endraw");
      position_ = saved;
      if (n > 0) {
        position_ = content;
        add_data(tag, sign_at(source_, tag + 2), true);
        advance(n);
        return {};
      }
      ++tag;
    }
    return syntax_error(begin_line, "{% raw %} has no {% endraw %}");
  }

  // The words inside a tag, up to its end. Inside brackets the end sign is two operators: {{ {'a':
  // {}} }}.
  Status expression(std::string_view close, TokenType end_type) {
    std::string open_brackets;
    while (position_ < source_.size()) {
      if (open_brackets.empty()) {
        if (const size_t n = closing_length(close, close == "%}"); n > 0) {
          add(end_type, "");
          advance(n);
          return {};
        }
      }
      FATHOM_RETURN_IF_ERROR(word(open_brackets));
    }
    return {};  // the parser says what is missing
  }

  Status word(std::string& open_brackets) {
    const std::string_view text = rest();
    const Decoded c = decode_utf8(text, 0);
    if (is_space(c.code)) {
      skip_space();
    } else if (is_digit(text[0])) {
      number();
    } else if (is_word(c.code)) {
      size_t n = 0;
      while (n < text.size() && is_word(decode_utf8(text, n).code))
        n += decode_utf8(text, n).n_bytes;
      add(TokenType::kName, text.substr(0, n));
      advance(n);
    } else if (text[0] == '\'' || text[0] == '"') {
      return string();
    } else {
      return op(open_brackets);
    }
    return {};
  }

  // Digits with single underscores between them, from i on; the position after them.
  size_t digits(size_t i) const {
    const std::string_view text = rest();
    while (i < text.size() &&
           (is_digit(text[i]) || (text[i] == '_' && i > 0 && is_digit(text[i - 1]) &&
                                  i + 1 < text.size() && is_digit(text[i + 1])))) {
      ++i;
    }
    return i;
  }

  void number() {
    const std::string_view text = rest();
    const char base = text.size() > 2 && text[0] == '0' ? static_cast<char>(text[1] | 0x20) : '\0';
    if (base == 'x' || base == 'o' || base == 'b') {
      size_t n = 2;
      const auto is_part = [&](char ch) {
        if (base == 'b') return ch == '0' || ch == '1';
        if (base == 'o') return ch >= '0' && ch <= '7';
        return is_digit(ch) || ((ch | 0x20) >= 'a' && (ch | 0x20) <= 'f');
      };
      while (n < text.size() && (is_part(text[n]) ||
                                 (text[n] == '_' && n + 1 < text.size() && is_part(text[n + 1])))) {
        ++n;
      }
      if (n > 2) {
        add(TokenType::kInteger, text.substr(0, n));
        return advance(n);
      }
    }
    size_t n = digits(0);
    bool is_float = false;
    // 1.name is an attribute and .5 no number: digits on both sides of the point. After a point
    // comes an index.
    const bool after_point = !tokens_.empty() && tokens_.back().is_op(".");
    if (!after_point && n + 1 < text.size() && text[n] == '.' && is_digit(text[n + 1])) {
      n = digits(n + 1);
      is_float = true;
    }
    if (!after_point && n < text.size() && (text[n] | 0x20) == 'e') {
      const size_t sign = n + 1 < text.size() && (text[n + 1] == '+' || text[n + 1] == '-') ? 1 : 0;
      if (n + 1 + sign < text.size() && is_digit(text[n + 1 + sign])) {
        n = digits(n + 1 + sign);
        is_float = true;
      }
    }
    add(is_float ? TokenType::kFloat : TokenType::kInteger, text.substr(0, n));
    advance(n);
  }

  Status string() {
    const std::string_view text = rest();
    size_t end = 1;
    while (end < text.size() && text[end] != text[0]) end += text[end] == '\\' ? 2 : 1;
    if (end >= text.size())
      return syntax_error(line_, str_cat("a text that begins with ", text[0], " has no end"));
    auto value = unescape_literal(text.substr(1, end - 1));
    if (!value) return syntax_error(line_, value.error().message);
    add(TokenType::kString, value.value());
    advance(end + 1);
    return {};
  }

  Status op(std::string& open_brackets) {
    const std::string_view text = rest();
    const auto it =
        std::find_if(kOperators.begin(), kOperators.end(),
                     [&](std::string_view candidate) { return text.starts_with(candidate); });
    if (it == kOperators.end()) {
      return syntax_error(line_, str_cat("unexpected character '",
                                         text.substr(0, decode_utf8(text, 0).n_bytes), "'"));
    }
    const char c = text[0];
    if (c == '(' || c == '[' || c == '{') {
      open_brackets += c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (c == ')' || c == ']' || c == '}') {
      if (open_brackets.empty()) return syntax_error(line_, str_cat("unexpected '", c, "'"));
      if (open_brackets.back() != c) {
        return syntax_error(line_,
                            str_cat("unexpected '", c, "', expected '", open_brackets.back(), "'"));
      }
      open_brackets.pop_back();
    }
    add(TokenType::kOperator, *it);
    advance(it->size());
    return {};
  }

  const std::string source_;
  size_t position_ = 0;
  int32_t line_ = 1;
  bool line_starting_ = true;  // the last piece read ended a line, or nothing has been read
  std::vector<Token> tokens_;
};

}  // namespace

std::string Token::describe() const {
  switch (type) {
    case TokenType::kData:
      return "text";
    case TokenType::kBlockBegin:
      return "begin of statement block";
    case TokenType::kBlockEnd:
      return "end of statement block";
    case TokenType::kVariableBegin:
      return "begin of print statement";
    case TokenType::kVariableEnd:
      return "end of print statement";
    case TokenType::kEnd:
      return "end of template";
    case TokenType::kName:
    case TokenType::kString:
    case TokenType::kInteger:
    case TokenType::kFloat:
    case TokenType::kOperator:
      return str_cat("'", text.substr(0, 60), "'");
  }
  return "token";
}

Error syntax_error(int32_t line, std::string_view what) {
  return invalid_error("template line ", line, ": ", what);
}

Result<std::vector<Token>> tokenize(std::string_view source, const JinjaLimits& limits) {
  if (static_cast<int64_t>(source.size()) > limits.template_bytes) {
    return exhausted_error("the template has ", source.size(), " bytes, more than the limit of ",
                           limits.template_bytes);
  }
  if (!is_valid_utf8(source)) return invalid_error("the template is not valid UTF-8");
  return Lexer(normal_lines(source)).run();
}

}  // namespace fathom::jinja
