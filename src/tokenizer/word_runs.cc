#include "tokenizer/word_runs.h"

#include "base/utf8.h"
#include "tokenizer/unicode_class.h"

namespace fathom {
namespace {

// Python's str.isspace: White_Space and the four information separators.
bool is_python_space(const Utf8Char& c) {
  if (!c.valid) return false;
  return (c.code_point >= 0x1c && c.code_point <= 0x1f) ||
         UnicodeTable::instance()[c.code_point] == CharClass::kSpace;
}

}  // namespace

std::pair<size_t, size_t> WordRunCutter::next() {
  const size_t begin = at_;
  while (at_ < text_.size()) {
    const Utf8Char c = utf8_at(text_, at_);
    if (n_chars_ == kTextCharsMax) {
      n_chars_ = 0;
      run_chars_ = 0;
      if (at_ > begin) break;
    }
    const bool is_blank = is_python_space(c);
    if (run_chars_ > 0 && is_blank == run_is_blank_) {
      if (run_chars_ == run_chars_max_) {
        run_chars_ = 0;
        if (at_ > begin) break;
      }
      ++run_chars_;
    } else {
      run_is_blank_ = is_blank;
      run_chars_ = 1;
    }
    ++n_chars_;
    at_ += c.length;
  }
  return {begin, at_};
}

}  // namespace fathom
