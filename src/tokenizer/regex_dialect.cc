#include "tokenizer/regex_dialect.h"

#include <algorithm>
#include <array>
#include <vector>

namespace fathom {
namespace {

constexpr size_t kPatternBytesMax = 1 << 16;
constexpr int kGroupsDeepMax = 100;
constexpr std::string_view kWhiteSpace = "\\t-\\r\\x{85}\\p{Z}";

constexpr std::array<std::string_view, 30> kCategories = {
    "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe",
    "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Co", "Cn", "Cs"};

bool is_category(std::string_view name) {
  return std::any_of(kCategories.begin(), kCategories.end(),
                     [&](std::string_view c) { return c == name || c.substr(0, 1) == name; });
}
bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_quantifier(char c) { return c == '*' || c == '+' || c == '?'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

class Rewriter {
 public:
  explicit Rewriter(std::string_view pattern) : pattern_(pattern) {}

  Result<std::string> run() {
    if (pattern_.size() > kPatternBytesMax)
      return exhausted_error("it has more than ", kPatternBytesMax, " bytes");
    int depth = 0;
    while (i_ < pattern_.size()) {
      const char c = pattern_[i_];
      if (c == '\\') {
        FATHOM_RETURN_IF_ERROR(escape(/*in_class=*/false, out_));
      } else if (c == '[') {
        FATHOM_RETURN_IF_ERROR(character_class());
      } else if (c == '(') {
        if (++depth > kGroupsDeepMax) return refused("groups nested this deep", i_);
        FATHOM_RETURN_IF_ERROR(group());
      } else if (c == '{') {
        FATHOM_RETURN_IF_ERROR(repetition());
      } else {
        if (c == ')') --depth;
        // Steps within one cannot be counted, so its time cannot be checked (regex.cc).
        if (is_quantifier(c) && i_ + 1 < pattern_.size() && pattern_[i_ + 1] == '+') {
          return refused("a possessive quantifier", i_);
        }
        out_ += c;
        ++i_;
      }
    }
    return std::move(out_);
  }

 private:
  static Error refused(std::string_view what, size_t offset) {
    return unsupported_error("it has ", what, " at offset ", offset,
                             ", which regex libraries read differently and is not supported");
  }
  bool starts(std::string_view text) const { return pattern_.substr(i_, text.size()) == text; }

  Status group() {
    for (const std::string_view opening : {"(?:", "(?i:", "(?=", "(?!", "(?<=", "(?<!"}) {
      if (starts(opening)) {
        out_ += opening;
        i_ += opening.size();
        return {};
      }
    }
    if (starts("(?") || starts("(*"))
      return refused(str_cat("\"", pattern_.substr(i_, 4), "\""), i_);
    // What a group captured is never asked for.
    out_ += "(?:";
    ++i_;
    return {};
  }

  // {n}, {n,}, {n,m}; a brace alone would be a letter to some libraries.
  Status repetition() {
    size_t k = i_ + 1;
    const size_t first = k;
    while (k < pattern_.size() && is_digit(pattern_[k])) ++k;
    bool good = k > first;
    if (k < pattern_.size() && pattern_[k] == ',') {
      ++k;
      while (k < pattern_.size() && is_digit(pattern_[k])) ++k;
    }
    good = good && k < pattern_.size() && pattern_[k] == '}';
    if (!good) return refused("\"{\" that is no repetition", i_);
    // {n}+ is possessive to one library and a repetition of a repetition to another.
    if (k + 1 < pattern_.size() && pattern_[k + 1] == '+') return refused("\"}+\"", k);
    out_ += pattern_.substr(i_, k + 1 - i_);
    i_ = k + 1;
    return {};
  }

  // At \p or \P: appends the property in PCRE2's spelling.
  Status property(std::string& out) {
    const size_t begin = i_;
    const bool negated = pattern_[i_ + 1] == 'P';
    i_ += 2;
    if (i_ >= pattern_.size() || pattern_[i_] != '{') {
      const std::string_view name = pattern_.substr(std::min(i_, pattern_.size()), 1);
      if (!is_category(name)) return refused("\"\\p\" without a name", begin);
      str_append(out, negated ? "\\P{" : "\\p{", name, "}");
      ++i_;
      return {};
    }
    const size_t close = pattern_.find('}', i_);
    if (close == std::string_view::npos) return refused("\"\\p{\" without its \"}\"", begin);
    const std::string_view name = pattern_.substr(i_ + 1, close - i_ - 1);
    i_ = close + 1;
    if (is_category(name)) {
      str_append(out, negated ? "\\P{" : "\\p{", name, "}");
    } else if (name.size() > 2 && name.size() < 40 &&
               std::all_of(name.begin(), name.end(), is_alpha)) {
      // A script, by the property Script; PCRE2 refuses names it does not know.
      str_append(out, negated ? "\\P{sc:" : "\\p{sc:", name, "}");
    } else {
      return refused(str_cat("the property \"", name, "\""), begin);
    }
    return {};
  }

  Status escape(bool in_class, std::string& out) {
    if (i_ + 1 >= pattern_.size()) return refused("a backslash at its end", i_);
    const char c = pattern_[i_ + 1];
    if (c == 'p' || c == 'P') return property(out);
    if (c == 'x') return hexadecimal(out);
    if (c == 's') {
      str_append(out, in_class ? "" : "[", kWhiteSpace, in_class ? "" : "]");
    } else if (c == 'S') {
      // In a class: PCRE2's \S and the one character it takes for a blank besides.
      in_class ? str_append(out, "\\S\\x{180E}") : str_append(out, "[^", kWhiteSpace, "]");
    } else if (std::string_view("rntfvadD").find(c) != std::string_view::npos) {
      // \v is a single character (vertical tab) in Oniguruma and Rust, a set in PCRE2.
      c == 'v' ? str_append(out, "\\x{0B}") : str_append(out, '\\', c);
    } else if (is_alpha(c) || is_digit(c) || static_cast<unsigned char>(c) >= 0x80 ||
               static_cast<unsigned char>(c) < 0x20) {
      return refused(str_cat("\"\\", std::string_view(&c, 1), "\""), i_);
    } else {
      str_append(out, '\\', c);
    }
    i_ += 2;
    return {};
  }

  Status hexadecimal(std::string& out) {
    const size_t begin = i_;
    i_ += 2;
    const bool braced = i_ < pattern_.size() && pattern_[i_] == '{';
    if (braced) ++i_;
    const size_t first = i_;
    const size_t n_max = braced ? 6 : 2;
    while (i_ < pattern_.size() && i_ - first < n_max &&
           (is_digit(pattern_[i_]) || (is_alpha(pattern_[i_]) && (pattern_[i_] | 0x20) <= 'f'))) {
      ++i_;
    }
    const std::string_view digits = pattern_.substr(first, i_ - first);
    const bool closed = !braced || (i_ < pattern_.size() && pattern_[i_] == '}');
    if (digits.empty() || !closed || (!braced && digits.size() != 2))
      return refused("an unfinished \"\\x\"", begin);
    // A byte that is no character of its own: Oniguruma takes bytes, PCRE2 code points.
    if (!braced && digits[0] >= '8') return refused("\"\\x\" of a byte beyond ASCII", begin);
    if (braced) ++i_;
    str_append(out, "\\x{", digits, "}");
    return {};
  }

  // At '[': copies the items up to "]" or "&&"; items is what stands between.
  Status class_items(size_t begin, std::string& items) {
    bool first = true;
    while (i_ < pattern_.size()) {
      const char c = pattern_[i_];
      if ((c == ']' && !first) || starts("&&")) return {};
      first = false;
      if (c == '\\') {
        FATHOM_RETURN_IF_ERROR(escape(/*in_class=*/true, items));
      } else if (c == '[') {
        return refused("a class within a class", i_);
      } else if (c == ']') {
        return refused("an empty class", begin);
      } else {
        items += c;
        ++i_;
      }
    }
    return refused("a class without its \"]\"", begin);
  }

  Status character_class() {
    const size_t begin = i_++;
    const bool negated = i_ < pattern_.size() && pattern_[i_] == '^';
    if (negated) ++i_;
    std::string items;
    FATHOM_RETURN_IF_ERROR(class_items(begin, items));
    if (!starts("&&")) {
      str_append(out_, negated ? "[^" : "[", items, "]");
      ++i_;
      return {};
    }
    return intersection(begin, negated, items);
  }

  // [A&&[^B]] with A made of general categories is [^ the other categories and B]: one class, so
  // that a long run needs no backtracking (a lookahead per character would).
  Status intersection(size_t begin, bool negated, std::string_view left) {
    std::vector<std::string_view> others(kCategories.begin(), kCategories.end());
    while (!left.empty()) {
      if (negated || left.substr(0, 3) != "\\p{" || left.substr(0, 6) == "\\p{sc:") {
        return refused("an intersection \"&&\" of other things than general categories", begin);
      }
      const std::string_view name = left.substr(3, left.find('}') - 3);
      others.erase(
          std::remove_if(others.begin(), others.end(),
                         [&](std::string_view c) { return c == name || c.substr(0, 1) == name; }),
          others.end());
      left.remove_prefix(name.size() + 4);
    }
    i_ += 2;
    if (!starts("[^"))
      return refused("an intersection \"&&\" with something else than \"[^...]\"", begin);
    i_ += 2;
    std::string right;
    FATHOM_RETURN_IF_ERROR(class_items(begin, right));
    if (!starts("]]")) return refused("an intersection \"&&\" of more than two sets", begin);
    i_ += 2;
    out_ += "[^";
    for (const std::string_view category : others) str_append(out_, "\\p{", category, "}");
    str_append(out_, right, "]");
    return {};
  }

  std::string_view pattern_;
  size_t i_ = 0;
  std::string out_;
};

}  // namespace

Result<std::string> regex_for_pcre2(std::string_view pattern) { return Rewriter(pattern).run(); }

}  // namespace fathom
