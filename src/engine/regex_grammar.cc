#include "engine/regex_grammar.h"

#include <algorithm>

#include "base/utf8.h"

namespace fathom {

namespace {

using Expr = GrammarBuilder::Expr;
using Ranges = std::vector<CodeRange>;

constexpr int kRepetitionsMax = 4;  // a*{2}?: of what is repeated already
constexpr int kDepthMax = 100;
constexpr int64_t kRepeatMax = 100'000;
constexpr uint32_t kCodePointMax = 0x10ffff;

const Ranges kDigits = {{'0', '9'}};
const Ranges kWords = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
const Ranges kBlanks = {{'\t', '\r'}, {' ', ' '}, {0xa0, 0xa0}, {0x2028, 0x2029}, {0xfeff, 0xfeff}};

Ranges complement(Ranges ranges) {
  std::sort(ranges.begin(), ranges.end(),
            [](const CodeRange& a, const CodeRange& b) { return a.first < b.first; });
  Ranges out;
  uint32_t next = 0;
  for (const CodeRange& range : ranges) {
    if (range.first > next) out.push_back({next, range.first - 1});
    next = std::max(next, range.last + 1);
  }
  if (next <= kCodePointMax) out.push_back({next, kCodePointMax});
  return out;
}

class RegexParser {
 public:
  RegexParser(GrammarBuilder& builder, std::string_view pattern, const RegexOptions& options)
      : builder_(builder), pattern_(pattern), options_(options) {}

  Result<Expr> parse() {
    const Expr anything = builder_.repeat(any(), 0, -1);
    const bool from_start = take('^') || options_.whole;
    Expr body = alternatives(0);
    if (!error_.empty()) return invalid_error("the pattern: ", error_);
    if (at_ < pattern_.size()) return invalid_error("the pattern has a ) without its (");
    std::vector<Expr> parts;
    if (!from_start) parts.push_back(anything);
    parts.push_back(body);
    if (!anchored_end_ && !options_.whole) parts.push_back(anything);
    return builder_.sequence(std::move(parts));
  }

 private:
  bool more() const { return at_ < pattern_.size(); }
  char peek(size_t ahead = 0) const {
    return at_ + ahead < pattern_.size() ? pattern_[at_ + ahead] : '\0';
  }
  bool take(char c) {
    if (!more() || pattern_[at_] != c) return false;
    ++at_;
    return true;
  }
  Expr fail(std::string what) {
    if (error_.empty()) error_ = str_cat("at byte ", at_, ", ", what);
    at_ = pattern_.size();
    return builder_.empty();
  }

  Expr any() { return characters({}, true); }
  Expr characters(Ranges ranges, bool negated) {
    return options_.in_json_string ? json_characters(builder_, std::move(ranges), negated)
                                   : builder_.characters(std::move(ranges), negated);
  }

  Expr alternatives(int depth) {
    if (depth > kDepthMax) return fail("groups are nested too deep");
    std::vector<Expr> parts = {sequence(depth)};
    while (take('|')) parts.push_back(sequence(depth));
    return parts.size() == 1 ? parts[0] : builder_.choice(std::move(parts));
  }

  Expr sequence(int depth) {
    std::vector<Expr> parts;
    while (more() && peek() != '|' && peek() != ')') {
      if (peek() == '$') {
        ++at_;
        if (more() || depth > 0) return fail("$ is only taken at the end");
        anchored_end_ = true;
        break;
      }
      parts.push_back(repeated(atom(depth)));
    }
    return builder_.sequence(std::move(parts));
  }

  Expr repeated(Expr part) {
    for (int n = 0; more(); ++n) {
      int64_t min = 0, max = -1;
      if (take('*')) {
      } else if (take('+')) {
        min = 1;
      } else if (take('?')) {
        max = 1;
      } else if (peek() == '{' && peek(1) >= '0' && peek(1) <= '9') {
        ++at_;
        min = number();
        max = min;
        if (take(',')) max = peek() == '}' ? -1 : number();
        if (!take('}')) return fail("a { without its }");
        if (max != -1 && max < min) return fail("a repetition ends before it begins");
      } else {
        return part;
      }
      if (peek() == '+') return fail("possessive repetitions are not taken");
      take('?');  // which match is found first makes no difference to what matches
      if (n == kRepetitionsMax) return fail("too many repetitions of one another");
      part = builder_.repeat(part, min, max);
    }
    return part;
  }

  int64_t number() {
    int64_t n = 0;
    while (peek() >= '0' && peek() <= '9' && n <= kRepeatMax) n = 10 * n + (pattern_[at_++] - '0');
    if (n > kRepeatMax) fail(str_cat("a repetition of more than ", kRepeatMax));
    return n;
  }

  Expr atom(int depth) {
    const char c = peek();
    if (c == '(') return group(depth);
    if (c == '[') return char_class();
    if (c == '.') {
      ++at_;
      return characters({{'\n', '\n'}, {'\r', '\r'}}, true);
    }
    if (c == '*' || c == '+' || c == '?') return fail("a repetition of nothing");
    if (c == '^') return fail("^ is only taken at the beginning");
    if (c == '\\') {
      ++at_;
      Ranges ranges;
      if (!escape(ranges)) return builder_.empty();
      return characters(std::move(ranges), false);
    }
    const uint32_t code = code_point();
    return characters({{code, code}}, false);
  }

  Expr group(int depth) {
    ++at_;
    if (take('?')) {
      if (peek() == '=' || peek() == '!' || (peek() == '<' && (peek(1) == '=' || peek(1) == '!')))
        return fail("look-around is not taken");
      if (!take(':')) {
        take('P');
        if (!take('<')) return fail("this kind of group is not taken");
        while (more() && peek() != '>') ++at_;
        if (!take('>')) return fail("a group's name has no end");
      }
    }
    const Expr inner = alternatives(depth + 1);
    if (!take(')')) return fail("a ( without its )");
    return inner;
  }

  uint32_t code_point() {
    const Utf8Char read = utf8_at(pattern_, at_);
    at_ += std::max<size_t>(1, read.length);
    return static_cast<uint32_t>(read.code_point);
  }

  uint32_t hex(int digits) {
    uint32_t value = 0;
    for (int i = 0; i < digits; ++i) {
      const char c = peek();
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) {
        fail("an escape has too few hexadecimal digits");
        return 0;
      }
      value = 16 * value + static_cast<uint32_t>(digit);
      ++at_;
    }
    return value;
  }

  // Behind a backslash; false where it is none that is taken.
  bool escape(Ranges& out) {
    if (!more()) {
      fail("a backslash at the end");
      return false;
    }
    const char c = pattern_[at_++];
    switch (c) {
      case 'd':
        out = kDigits;
        return true;
      case 'D':
        out = complement(kDigits);
        return true;
      case 'w':
        out = kWords;
        return true;
      case 'W':
        out = complement(kWords);
        return true;
      case 's':
        out = kBlanks;
        return true;
      case 'S':
        out = complement(kBlanks);
        return true;
      case 'n':
        return one(out, '\n');
      case 't':
        return one(out, '\t');
      case 'r':
        return one(out, '\r');
      case 'f':
        return one(out, '\f');
      case 'v':
        return one(out, '\v');
      case '0':
        return one(out, 0);
      case 'x':
        return one(out, hex(2));
      case 'u':
        return one(out, hex(4));
      default:
        break;
    }
    if (c >= '1' && c <= '9') {
      fail("back-references are not taken");
      return false;
    }
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
      fail(str_cat("\\", std::string(1, c), " is not taken"));
      return false;
    }
    --at_;
    return one(out, code_point());
  }
  static bool one(Ranges& out, uint32_t code) {
    out = {{code, code}};
    return true;
  }

  Expr char_class() {
    ++at_;
    const bool negated = take('^');
    Ranges ranges;
    bool first = true;
    while (true) {
      if (!more()) return fail("a [ without its ]");
      if (peek() == ']' && !first) break;
      first = false;
      Ranges from;
      if (take('\\')) {
        if (take('b')) {
          from = {{'\b', '\b'}};
        } else if (!escape(from)) {
          return builder_.empty();
        }
      } else {
        const uint32_t code = code_point();
        from = {{code, code}};
      }
      const bool is_one = from.size() == 1 && from[0].first == from[0].last;
      if (is_one && peek() == '-' && peek(1) != ']' && peek(1) != '\0') {
        ++at_;
        Ranges to;
        if (take('\\')) {
          if (!escape(to)) return builder_.empty();
        } else {
          const uint32_t code = code_point();
          to = {{code, code}};
        }
        if (to.size() != 1 || to[0].first != to[0].last || to[0].first < from[0].first)
          return fail("a range of characters ends before it begins");
        from[0].last = to[0].first;
      }
      ranges.insert(ranges.end(), from.begin(), from.end());
    }
    ++at_;
    return characters(std::move(ranges), negated);
  }

  GrammarBuilder& builder_;
  std::string_view pattern_;
  RegexOptions options_;
  size_t at_ = 0;
  bool anchored_end_ = false;
  std::string error_;
};

}  // namespace

Expr json_characters(GrammarBuilder& builder, std::vector<CodeRange> ranges, bool negated) {
  if (negated) ranges = complement(std::move(ranges));
  const auto has = [&ranges](uint32_t code) {
    return std::any_of(ranges.begin(), ranges.end(), [code](const CodeRange& range) {
      return range.first <= code && code <= range.last;
    });
  };
  std::vector<Expr> parts;
  // Those that stand for themselves.
  constexpr CodeRange kPlain[] = {{' ', '!'}, {'#', '['}, {']', kCodePointMax}};
  Ranges plain;
  for (const CodeRange& range : ranges) {
    for (const CodeRange& allowed : kPlain) {
      const CodeRange both = {std::max(range.first, allowed.first),
                              std::min(range.last, allowed.last)};
      if (both.first <= both.last) plain.push_back(both);
    }
  }
  if (!plain.empty()) parts.push_back(builder.characters(std::move(plain)));
  constexpr std::pair<uint32_t, std::string_view> kEscapes[] = {
      {'"', "\\\""}, {'\\', "\\\\"}, {'\n', "\\n"}, {'\t', "\\t"},
      {'\r', "\\r"}, {'\b', "\\b"},  {'\f', "\\f"}};
  for (const auto& [code, text] : kEscapes)
    if (has(code)) parts.push_back(builder.text(text));
  return builder.choice(std::move(parts));
}

Result<Expr> regex_expression(GrammarBuilder& builder, std::string_view pattern,
                              const RegexOptions& options) {
  return RegexParser(builder, pattern, options).parse();
}

Result<Grammar> regex_grammar(std::string_view pattern) {
  GrammarBuilder builder;
  FATHOM_TRY(const Expr body, regex_expression(builder, pattern, {.whole = true}));
  const int32_t root = builder.declare_rule();
  builder.define_rule(root, body);
  return builder.finish(root);
}

}  // namespace fathom
