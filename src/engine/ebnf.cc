#include "engine/ebnf.h"

#include <algorithm>
#include <map>
#include <string>

#include "engine/regex_grammar.h"

namespace fathom {

namespace {

using Expr = GrammarBuilder::Expr;

constexpr int kRepetitionsMax = 4;  // a*{2}?: of what is repeated already
constexpr int kDepthMax = 100;
constexpr size_t kTextBytesMax = size_t{1} << 20;

bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-';
}

class EbnfParser {
 public:
  explicit EbnfParser(std::string_view text) : text_(text) {}

  Result<Grammar> parse() {
    if (text_.size() > kTextBytesMax)
      return exhausted_error("the grammar has ", text_.size(), " bytes, at most ", kTextBytesMax,
                             " are taken");
    skip();
    while (error_.empty() && more()) rule();
    if (!error_.empty()) return invalid_error(error_);
    const auto root = rules_.find("root");
    if (root == rules_.end()) return invalid_error("the grammar has no rule \"root\"");
    for (const auto& [name, rule] : rules_)
      if (!rule.defined) return invalid_error("the rule \"", name, "\" is not defined");
    return builder_.finish(root->second.number);
  }

 private:
  struct Rule {
    int32_t number = 0;
    bool defined = false;
  };

  bool more() const { return at_ < text_.size(); }
  char peek(size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }
  Expr fail(std::string_view what) {
    if (error_.empty()) {
      const auto line =
          1 + std::count(text_.begin(), text_.begin() + static_cast<ptrdiff_t>(at_), '\n');
      error_ = str_cat("the grammar, line ", line, ": ", what);
    }
    at_ = text_.size();
    return builder_.empty();
  }
  // Blanks, line ends and comments.
  void skip() {
    while (more()) {
      const char c = peek();
      if (c == '#') {
        while (more() && peek() != '\n') ++at_;
      } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
        ++at_;
      } else {
        return;
      }
    }
  }
  std::string name() {
    const size_t begin = at_;
    while (is_name_char(peek())) ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }
  int32_t number_of(const std::string& name) {
    const auto [at, fresh] = rules_.try_emplace(name);
    if (fresh) at->second.number = builder_.declare_rule();
    return at->second.number;
  }
  // Whether a rule begins here: NAME ::=
  bool at_rule() {
    const size_t begin = at_;
    const bool has_name = !name().empty();
    skip();
    const bool is_rule = has_name && text_.substr(at_).starts_with("::=");
    at_ = begin;
    return is_rule;
  }

  void rule() {
    if (!at_rule()) {
      fail("expected a rule, NAME ::= BODY");
      return;
    }
    const std::string rule_name = name();
    skip();
    at_ += 3;
    const int32_t number = number_of(rule_name);
    if (rules_[rule_name].defined) {
      fail(str_cat("the rule \"", rule_name, "\" is defined twice"));
      return;
    }
    rules_[rule_name].defined = true;
    skip();
    builder_.define_rule(number, alternatives(0));
    skip();
  }

  Expr alternatives(int depth) {
    if (depth > kDepthMax) return fail("groups are nested too deep");
    std::vector<Expr> parts = {sequence(depth)};
    while (peek() == '|') {
      ++at_;
      parts.push_back(sequence(depth));
    }
    return parts.size() == 1 ? parts[0] : builder_.choice(std::move(parts));
  }

  Expr sequence(int depth) {
    std::vector<Expr> parts;
    skip();
    while (more() && peek() != '|' && peek() != ')' && !at_rule()) {
      parts.push_back(repeated(atom(depth)));
      skip();
    }
    return builder_.sequence(std::move(parts));
  }

  Expr atom(int depth) {
    const char c = peek();
    if (c == '"' || c == '\'') return quoted(c);
    if (c == '[') return char_class();
    if (c == '.') {
      ++at_;
      return builder_.characters({}, /*negated=*/true);
    }
    if (c == '(') {
      ++at_;
      const Expr inner = alternatives(depth + 1);
      if (peek() != ')') return fail("a ( without its )");
      ++at_;
      return inner;
    }
    if (is_name_char(c)) return builder_.call(number_of(name()));
    return fail(str_cat("'", std::string(1, c), "' is not taken here"));
  }

  Expr repeated(Expr part) {
    for (int n = 0; more(); ++n) {
      int64_t min = 0, max = -1;
      const char c = peek();
      if (c == '*' || c == '+' || c == '?') {
        ++at_;
        min = c == '+' ? 1 : 0;
        max = c == '?' ? 1 : -1;
      } else if (c == '{') {
        ++at_;
        min = number();
        max = min;
        if (peek() == ',') {
          ++at_;
          max = peek() == '}' ? -1 : number();
        }
        if (peek() != '}' || (max != -1 && max < min)) return fail("expected {m}, {m,} or {m,n}");
        ++at_;
      } else {
        return part;
      }
      if (n == kRepetitionsMax) return fail("too many repetitions of one another");
      part = builder_.repeat(part, min, max);
    }
    return part;
  }

  int64_t number() {
    int64_t n = 0;
    if (peek() < '0' || peek() > '9') fail("expected a number");
    while (peek() >= '0' && peek() <= '9' && n < Grammar::kStatesMax)
      n = 10 * n + (text_[at_++] - '0');
    return n;
  }

  Expr quoted(char quote) {
    ++at_;
    std::string out;
    while (peek() != quote) {
      if (!more() || peek() == '\n') return fail("a text has no end");
      if (peek() != '\\') {
        out += text_[at_++];
        continue;
      }
      ++at_;
      const char c = peek();
      ++at_;
      constexpr std::string_view kFrom = "nrt\\\"'", kTo = "\n\r\t\\\"'";
      const size_t i = kFrom.find(c);
      if (i == std::string_view::npos) return fail("an escape that is none");
      out += kTo[i];
    }
    ++at_;
    return builder_.text(out);
  }

  // The same as in regular expressions.
  Expr char_class() {
    size_t end = at_ + 1;
    if (end < text_.size() && text_[end] == '^') ++end;
    if (end < text_.size() && text_[end] == ']') ++end;
    while (end < text_.size() && text_[end] != ']') end += text_[end] == '\\' ? 2 : 1;
    if (end >= text_.size()) return fail("a [ without its ]");
    const std::string_view pattern = text_.substr(at_, end + 1 - at_);
    Result<Expr> made = regex_expression(builder_, pattern, {.whole = true});
    if (!made.ok()) return fail(made.error().message);
    at_ = end + 1;
    return *made;
  }

  std::string_view text_;
  size_t at_ = 0;
  GrammarBuilder builder_;
  std::map<std::string, Rule> rules_;
  std::string error_;
};

}  // namespace

Result<Grammar> ebnf_grammar(std::string_view text) { return EbnfParser(text).parse(); }

}  // namespace fathom
