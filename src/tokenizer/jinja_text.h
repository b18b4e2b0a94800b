// Text that knows which of its bytes the template's author wrote (trusted) and which came from
// messages, tools and other data (untrusted). Every operation of the interpreter keeps the marks: a
// token of control is only recognised in text that the template itself spelled.
//
// Invariant: flips_ is strictly increasing and lies within (0, size): byte i is trusted iff
// first_trusted_ xor an odd number of flips at or before i. Text of one origin, the usual case, has
// no flips and costs nothing more.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fathom {

class JinjaText {
 public:
  JinjaText() = default;
  JinjaText(std::string bytes, bool trusted) : bytes_(std::move(bytes)), first_trusted_(trusted) {}

  const std::string& bytes() const { return bytes_; }
  std::string_view view() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  bool trusted_at(size_t position) const;
  // True of the empty text.
  bool all_trusted() const { return bytes_.empty() || (first_trusted_ && flips_.empty()); }
  size_t n_flips() const { return flips_.size(); }

  void append(std::string_view text, bool trusted);
  void append(const JinjaText& text) { append(text, 0, text.size()); }
  // Bytes [begin, end) of text, which is another object.
  void append(const JinjaText& text, size_t begin, size_t end);
  JinjaText slice(size_t begin, size_t end) const;

  // f(std::string_view piece, bool trusted) for each run of one origin in [begin, end), in order.
  template <typename F>
  void for_each_run(size_t begin, size_t end, F&& f) const {
    size_t flip = first_flip_after(begin);
    bool trusted = first_trusted_ != (flip % 2 == 1);
    while (begin < end) {
      const size_t stop = flip < flips_.size() && flips_[flip] < end ? flips_[flip] : end;
      f(std::string_view(bytes_).substr(begin, stop - begin), trusted);
      begin = stop;
      ++flip;
      trusted = !trusted;
    }
  }
  template <typename F>
  void for_each_run(F&& f) const {
    for_each_run(0, size(), std::forward<F>(f));
  }

 private:
  size_t first_flip_after(size_t position) const;

  std::string bytes_;
  bool first_trusted_ = true;
  std::vector<size_t> flips_;
};

}  // namespace fathom
