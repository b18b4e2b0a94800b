#include "engine/json_values.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "base/utf8.h"
#include "engine/regex_grammar.h"

namespace fathom {

namespace {

constexpr std::string_view kHex = "[0-9a-fA-F]";
constexpr uint32_t kCodePointMax = 0x10ffff;
// Characters that a string holds only escaped.
const std::vector<CodeRange> kNotPlain = {{0, 0x1f}, {'"', '"'}, {'\\', '\\'}};

bool takes_escape(char c) {
  const auto code = static_cast<unsigned char>(c);
  return std::any_of(kNotPlain.begin(), kNotPlain.end(), [code](const CodeRange& range) {
    return range.first <= code && code <= range.last;
  });
}

// Digits of the whole numbers low..high, both not negative.
std::string digits_between(const std::string& low, const std::string& high) {
  const auto digit_class = [](char a, char b) {
    return a == b ? std::string(1, a)
                  : str_cat("[", std::string(1, a), "-", std::string(1, b), "]");
  };
  const auto any_digits = [](size_t n) {
    return n == 0 ? std::string() : str_cat("[0-9]{", n, "}");
  };
  if (low.size() < high.size()) {
    const std::string nines(low.size(), '9'), power = "1" + std::string(low.size(), '0');
    return str_cat(digits_between(low, nines), "|", digits_between(power, high));
  }
  size_t same = 0;
  while (same < low.size() && low[same] == high[same]) ++same;
  if (same == low.size()) return low;
  const std::string head = low.substr(0, same);
  const size_t rest = low.size() - same - 1;
  const std::string low_rest = low.substr(same + 1), high_rest = high.substr(same + 1);
  const bool from_start = low_rest.find_first_not_of('0') == std::string::npos;
  const bool to_end = high_rest.find_first_not_of('9') == std::string::npos;
  char first = low[same], last = high[same];
  std::vector<std::string> parts;
  if (!from_start) {
    parts.push_back(
        str_cat(std::string(1, first), "(", digits_between(low_rest, std::string(rest, '9')), ")"));
    ++first;
  }
  if (!to_end) --last;
  if (first <= last) parts.push_back(digit_class(first, last) + any_digits(rest));
  if (!to_end)
    parts.push_back(str_cat(std::string(1, high[same]), "(",
                            digits_between(std::string(rest, '0'), high_rest), ")"));
  std::string out = head + "(";
  for (size_t i = 0; i < parts.size(); ++i) out += (i > 0 ? "|" : "") + parts[i];
  return out + ")";
}

}  // namespace

std::string integers_between(int64_t low, int64_t high) {
  const auto text = [](int64_t n) { return std::to_string(n); };
  if (low >= 0) return str_cat("(", digits_between(text(low), text(high)), ")");
  const std::string negative_end = text(-low);
  if (high < 0) return str_cat("-(", digits_between(text(-high), negative_end), ")");
  return str_cat("(-(", digits_between("1", negative_end), ")|", digits_between("0", text(high)),
                 ")");
}

JsonValues::Expr JsonValues::string() {
  const Expr plain = b_.characters(kNotPlain, /*negated=*/true);
  const Expr hex = pattern(kHex);
  // \u of no surrogate.
  const Expr code = b_.choice({b_.sequence({pattern("[0-9a-cA-CefEF]"), hex, hex, hex}),
                               b_.sequence({pattern("[dD][0-7]"), hex, hex})});
  const Expr escape = b_.sequence(
      {b_.text("\\"), b_.choice({pattern("[\"\\\\/bfnrt]"), b_.sequence({b_.text("u"), code})})});
  return rule("string", b_.sequence({b_.text("\""), b_.repeat(b_.choice({plain, escape}), 0, -1),
                                     b_.text("\"")}));
}

JsonValues::Expr JsonValues::integer() {
  return pattern(str_cat("-?(0|[1-9][0-9]{0,", kJsonDigitsMax - 1, "})"));
}

JsonValues::Expr JsonValues::number() {
  return b_.sequence(
      {integer(), pattern(str_cat("(\\.[0-9]{1,", kJsonDigitsMax, "})?([eE][+-]?[0-9]{1,3})?"))});
}

JsonValues::Expr JsonValues::value() {
  if (value_ >= 0) return b_.call(value_);
  value_ = b_.declare_rule();
  const Expr any = b_.call(value_);
  b_.define_rule(value_, b_.choice({object(any), array(any), string(), number(), b_.text("true"),
                                    b_.text("false"), b_.text("null")}));
  return any;
}

JsonValues::Expr JsonValues::any_object() { return object(value()); }

// Along the keys, one rule for each beginning of some of them: a character that none goes on with
// leaves them, and the string may not end where a key does. Keys that take escapes are none that a
// string without them could be.
JsonValues::Expr JsonValues::other_key(const std::vector<std::string>& keys) {
  struct Node {
    std::map<uint32_t, size_t> next;
    bool is_key = false;
  };
  std::vector<Node> nodes(1);
  for (const std::string& key : keys) {
    if (std::any_of(key.begin(), key.end(), takes_escape)) continue;
    size_t at = 0;
    for (size_t i = 0; i < key.size();) {
      const Utf8Char c = utf8_at(key, i);
      i += c.length;
      const auto [found, fresh] = nodes[at].next.try_emplace(c.code_point, nodes.size());
      at = found->second;
      if (fresh) nodes.emplace_back();
    }
    nodes[at].is_key = true;
  }
  const Expr quote = b_.text("\"");
  const Expr beyond_ascii = rule("beyond ASCII", b_.characters({{0x80, kCodePointMax}}));
  const Expr rest =
      rule("rest of key",
           b_.sequence({b_.repeat(b_.characters(kNotPlain, /*negated=*/true), 0, -1), quote}));
  std::vector<int32_t> rules;
  for (size_t i = 0; i < nodes.size(); ++i) rules.push_back(b_.declare_rule());
  for (size_t i = 0; i < nodes.size() && !b_.is_full(); ++i) {
    std::vector<Expr> ways;
    if (!nodes[i].is_key) ways.push_back(quote);
    std::vector<CodeRange> taken = kNotPlain;
    for (const auto& [code, next] : nodes[i].next) {
      taken.push_back({code, code});
      ways.push_back(b_.sequence({b_.characters({{code, code}}), b_.call(rules[next])}));
    }
    // Characters beyond ASCII cost states: written out only where some of them are taken.
    const bool all_ascii = nodes[i].next.empty() || nodes[i].next.rbegin()->first < 0x80;
    if (all_ascii) {
      taken.push_back({0x80, kCodePointMax});
      ways.push_back(b_.sequence({beyond_ascii, rest}));
    }
    ways.push_back(b_.sequence({b_.characters(std::move(taken), /*negated=*/true), rest}));
    b_.define_rule(rules[i], b_.choice(std::move(ways)));
  }
  return b_.sequence({quote, b_.call(rules[0])});
}

JsonValues::Expr JsonValues::pattern(std::string_view text) {
  Result<Expr> made = regex_expression(b_, text, {.whole = true});
  FATHOM_CHECK(made.ok(), text);
  return *made;
}

JsonValues::Expr JsonValues::object(Expr any) {
  const Expr pair = b_.sequence({string(), b_.text(": "), any});
  return b_.sequence({b_.text("{"), listed(pair), b_.text("}")});
}

JsonValues::Expr JsonValues::array(Expr any) {
  return b_.sequence({b_.text("["), listed(any), b_.text("]")});
}

JsonValues::Expr JsonValues::listed(Expr part) {
  const Expr more = b_.repeat(b_.sequence({b_.text(", "), part}), 0, -1);
  return b_.repeat(b_.sequence({part, more}), 0, 1);
}

JsonValues::Expr JsonValues::rule(const std::string& name, Expr body) {
  const auto [at, fresh] = rules_.try_emplace(name, 0);
  if (fresh) {
    at->second = b_.declare_rule();
    b_.define_rule(at->second, body);
  }
  return b_.call(at->second);
}

std::string json_dumps(const Json& value) {
  std::string out;
  if (value.is_array()) {
    out += '[';
    for (const Json& one : value.as_array()) out += (out.size() > 1 ? ", " : "") + json_dumps(one);
    return out + ']';
  }
  if (value.is_object()) {
    out += '{';
    for (const auto& [key, one] : value.as_object()) {
      if (out.size() > 1) out += ", ";
      append_json_string(out, key);
      out += ": " + json_dumps(one);
    }
    return out + '}';
  }
  return value.dump();
}

}  // namespace fathom
