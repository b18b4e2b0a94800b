// The one adapter to PCRE2, for the Split patterns that the hand-written scanner does not know.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace fathom {

class Regex {
 public:
  // pattern in the dialect of tokenizers (regex_dialect.h). The error says what is wrong with it.
  static Result<Regex> compile(std::string_view pattern);

  struct Span {
    size_t begin;
    size_t end;
  };
  // What one thread needs to search; not to be shared.
  class Matcher;
  // The first match that is not empty and begins at or after `from`; false if there is none. text
  // is valid UTF-8. compile refuses patterns that take more than linear time on runs of all kinds;
  // should one slip through, a search is cut off after 10^8 steps and has no match then.
  bool search(std::string_view text, size_t from, Matcher& matcher, Span* span) const;

 private:
  struct Code;
  std::shared_ptr<const Code> code_;
};

class Regex::Matcher {
 public:
  Matcher();
  ~Matcher();
  Matcher(const Matcher&) = delete;
  Matcher& operator=(const Matcher&) = delete;

 private:
  friend class Regex;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace fathom
