// Cuts a text where a run of blanks, or of anything else, exceeds a number of characters: what the
// Python beside tiktoken.model does to every text before it tokenises it, so that ids agree on such
// texts too.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

namespace fathom {

class WordRunCutter {
 public:
  // Besides, the text is first cut into stretches of kTextCharsMax characters, each looked at
  // alone.
  static constexpr int64_t kTextCharsMax = 400'000;

  WordRunCutter(std::string_view text, int64_t run_chars_max)
      : text_(text), run_chars_max_(run_chars_max) {}

  bool done() const { return at_ >= text_.size(); }
  // The next stretch [begin, end) in bytes; they follow each other without gaps.
  std::pair<size_t, size_t> next();

 private:
  std::string_view text_;
  int64_t run_chars_max_;
  size_t at_ = 0;
  int64_t n_chars_ = 0;  // of the stretch of kTextCharsMax so far
  int64_t run_chars_ = 0;
  bool run_is_blank_ = false;
};

}  // namespace fathom
