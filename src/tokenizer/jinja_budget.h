// What one parse or one rendering of a chat template may use. A template is a program that comes
// with a model's files, so every way to make it run long or grow large has a limit with a name
// here.
//
// The budget is sticky: the code that makes text and lists goes on as if nothing had happened (text
// is cut, not grown), and the interpreter, which looks at failed() after each operation, ends the
// rendering with reason().
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace fathom {

struct JinjaLimits {
  int64_t template_bytes = int64_t{1} << 20;
  // Levels of parentheses, blocks and operators in the template.
  int64_t nesting = 200;
  // Levels of evaluation at run time: nesting of the template plus macro calls.
  int64_t eval_depth = 1000;
  // Nodes evaluated, items visited, and one for each 64 bytes of text that is made or searched.
  int64_t steps = 20'000'000;
  // Memory that values hold at one time.
  int64_t memory_bytes = int64_t{512} << 20;
  int64_t string_bytes = int64_t{128} << 20;
  int64_t output_bytes = int64_t{128} << 20;
  int64_t list_items = 4'000'000;
  // Lists in lists in lists.
  int64_t value_depth = 200;
  // As in Python's sandbox.
  int64_t range_items = 100'000;
};

class JinjaBudget {
 public:
  explicit JinjaBudget(const JinjaLimits& limits) : limits_(limits) {}
  JinjaBudget(const JinjaBudget&) = delete;
  JinjaBudget& operator=(const JinjaBudget&) = delete;

  const JinjaLimits& limits() const { return limits_; }
  bool failed() const { return failed_; }
  const std::string& reason() const { return reason_; }
  void fail(std::string reason);

  // All of these return whether the budget still holds.
  bool step(int64_t n = 1) {
    steps_ += n;
    if (steps_ > limits_.steps) [[unlikely]]
      fail_limit("steps", limits_.steps);
    return !failed_;
  }
  bool step_bytes(int64_t bytes) { return step(bytes / 64); }
  bool hold(int64_t bytes) {
    held_ += bytes;
    if (held_ > limits_.memory_bytes) [[unlikely]]
      fail_limit("bytes of values", limits_.memory_bytes);
    return !failed_;
  }
  void release(int64_t bytes) { held_ -= bytes; }
  // Before making it: would a text or list of this size be allowed?
  bool allow_string(int64_t bytes);
  bool allow_list(int64_t items);

 private:
  void fail_limit(std::string_view what, int64_t limit);

  const JinjaLimits limits_;
  int64_t steps_ = 0;
  int64_t held_ = 0;
  bool failed_ = false;
  std::string reason_;
};

}  // namespace fathom
