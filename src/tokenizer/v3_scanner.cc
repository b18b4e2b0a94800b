#include "tokenizer/v3_scanner.h"

#include "base/utf8.h"
#include "tokenizer/unicode_class.h"

namespace fathom {

const std::array<std::string_view, 3> kV3Patterns = {
    R"(\p{N}{1,3})", "[一-龥぀-ゟ゠-ヿ]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+"
    "|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
    "| ?[\\p{P}\\p{S}]+[\r\n]*"
    "|\\s*[\r\n]+"
    "|\\s+(?!\\S)"
    "|\\s+"};

namespace {

struct Char {
  CharClass cls;
  bool is_east_asian;  // of the second pattern
  uint32_t length;

  bool is_word() const { return cls == CharClass::kLetter || cls == CharClass::kMark; }
};

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text), table_(UnicodeTable::instance()) {}

  void split(std::vector<std::string_view>& pieces) const {
    size_t i = 0;
    while (i < text_.size()) {
      const Char first = at(i);
      if (first.cls == CharClass::kNumber) {
        const size_t end = skip_numbers(i);
        pieces.push_back(text_.substr(i, end - i));
        i = end;
        continue;
      }
      size_t end = i + first.length;
      while (end < text_.size()) {
        const Char c = at(end);
        if (c.cls == CharClass::kNumber || c.is_east_asian != first.is_east_asian) break;
        end += c.length;
      }
      split_segment(i, end, pieces);
      i = end;
    }
  }

 private:
  Char at(size_t i) const {
    const unsigned char byte = static_cast<unsigned char>(text_[i]);
    if (byte < 0x80) return {table_[byte], false, 1};
    const Utf8Char c = utf8_at(text_, i);
    if (!c.valid) return {CharClass::kOther, false, 1};
    const bool is_east_asian = (c.code_point >= 0x4e00 && c.code_point <= 0x9fa5) ||
                               (c.code_point >= 0x3040 && c.code_point <= 0x30ff);
    return {table_[c.code_point], is_east_asian, c.length};
  }
  bool is_newline(size_t i) const { return text_[i] == '\n' || text_[i] == '\r'; }
  bool is_ascii_letter(size_t i) const {
    const char lower = static_cast<char>(text_[i] | 0x20);
    return lower >= 'a' && lower <= 'z';
  }

  // The first pattern: up to three numbers.
  size_t skip_numbers(size_t i) const {
    for (int n = 0; n < 3 && i < text_.size(); ++n) {
      const Char c = at(i);
      if (c.cls != CharClass::kNumber) break;
      i += c.length;
    }
    return i;
  }

  // The third pattern on [begin, end), which to it is a text of its own: its matches and the gaps
  // between them.
  void split_segment(size_t begin, size_t end, std::vector<std::string_view>& pieces) const {
    size_t gap = begin;
    size_t i = begin;
    while (i < end) {
      const size_t match_end = match(i, end);
      if (match_end == i) {
        i += at(i).length;
        continue;
      }
      if (gap < i) pieces.push_back(text_.substr(gap, i - gap));
      pieces.push_back(text_.substr(i, match_end - i));
      i = gap = match_end;
    }
    if (gap < end) pieces.push_back(text_.substr(gap, end - gap));
  }

  // Where the match that begins at i ends; i if none does. The alternatives in their order.
  size_t match(size_t i, size_t end) const {
    const Char c = at(i);
    const size_t next = i + c.length;
    const bool is_ascii = c.length == 1 && static_cast<unsigned char>(text_[i]) < 0x80;
    if (is_ascii && c.cls == CharClass::kPunctuation && next < end && is_ascii_letter(next)) {
      size_t k = next;
      while (k < end && is_ascii_letter(k)) ++k;
      return k;
    }
    if (c.is_word()) return skip_word(next, end);
    // One character before a word goes with it, unless it is a newline, punctuation or symbol.
    if (c.cls != CharClass::kPunctuation && !is_newline(i) && next < end && at(next).is_word()) {
      return skip_word(next, end);
    }
    if (c.cls == CharClass::kPunctuation) return skip_punctuation(i, end);
    if (text_[i] == ' ' && next < end && at(next).cls == CharClass::kPunctuation)
      return skip_punctuation(next, end);
    return c.cls == CharClass::kSpace ? match_space(i, end) : i;
  }

  size_t skip_word(size_t i, size_t end) const {
    while (i < end) {
      const Char c = at(i);
      if (!c.is_word()) break;
      i += c.length;
    }
    return i;
  }

  size_t skip_punctuation(size_t i, size_t end) const {
    while (i < end) {
      const Char c = at(i);
      if (c.cls != CharClass::kPunctuation) break;
      i += c.length;
    }
    while (i < end && is_newline(i)) ++i;
    return i;
  }

  // \s*[\r\n]+ ends after the last newline of the blanks; without one \s+(?!\S) leaves the last
  // blank to what follows, if anything follows and the blank is not the only one.
  size_t match_space(size_t i, size_t end) const {
    size_t after_newline = i;
    size_t last = i;
    size_t k = i;
    while (k < end) {
      const Char c = at(k);
      if (c.cls != CharClass::kSpace) break;
      last = k;
      if (is_newline(k)) after_newline = k + 1;
      k += c.length;
    }
    if (after_newline > i) return after_newline;
    return k == end || last == i ? k : last;
  }

  std::string_view text_;
  const UnicodeTable& table_;
};

}  // namespace

void split_v3(std::string_view text, std::vector<std::string_view>& pieces) {
  Scanner(text).split(pieces);
}

}  // namespace fathom
