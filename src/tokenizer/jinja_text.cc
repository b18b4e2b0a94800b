#include "tokenizer/jinja_text.h"

#include <algorithm>

namespace fathom {

size_t JinjaText::first_flip_after(size_t position) const {
  if (flips_.empty()) return 0;
  return static_cast<size_t>(std::upper_bound(flips_.begin(), flips_.end(), position) -
                             flips_.begin());
}

bool JinjaText::trusted_at(size_t position) const {
  return first_trusted_ != (first_flip_after(position) % 2 == 1);
}

void JinjaText::append(std::string_view text, bool trusted) {
  if (text.empty()) return;
  if (bytes_.empty()) {
    first_trusted_ = trusted;
  } else if (const bool last = first_trusted_ != (flips_.size() % 2 == 1); last != trusted) {
    flips_.push_back(bytes_.size());
  }
  bytes_ += text;
}

void JinjaText::append(const JinjaText& text, size_t begin, size_t end) {
  text.for_each_run(begin, end,
                    [&](std::string_view piece, bool trusted) { append(piece, trusted); });
}

JinjaText JinjaText::slice(size_t begin, size_t end) const {
  JinjaText out;
  out.append(*this, begin, end);
  return out;
}

}  // namespace fathom
