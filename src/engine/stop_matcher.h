// Holds back the end of a growing text as long as it could be the beginning of a stop string.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fathom {

class StopMatcher {
 public:
  explicit StopMatcher(std::vector<std::string> stops);
  // Adds text and returns what is certain not to belong to a stop string. stopped() is true once
  // one is complete: then only what stands before it comes out, and nothing after.
  std::string push(std::string_view text);
  // The end of the text: what was held back, unless stopped.
  std::string finish();
  bool stopped() const { return stopped_; }
  // The stop string that was found; empty if none was.
  const std::string& found() const { return found_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  std::string found_;
  bool stopped_ = false;
};

}  // namespace fathom
