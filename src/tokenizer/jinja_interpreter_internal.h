// How the interpreter's own files count the depth of evaluation.
#pragma once

#include "tokenizer/jinja_interpreter.h"

namespace fathom::jinja {

class Interpreter::Depth {
 public:
  explicit Depth(Interpreter& interpreter) : interpreter_(interpreter) { ++interpreter_.depth_; }
  ~Depth() { --interpreter_.depth_; }
  Depth(const Depth&) = delete;
  Depth& operator=(const Depth&) = delete;

  Status check() const {
    const int64_t limit = interpreter_.budget().limits().eval_depth;
    if (interpreter_.depth_ <= limit) return {};
    return exhausted_error("blocks and macros call each other more than ", limit, " levels deep");
  }

 private:
  Interpreter& interpreter_;
};

}  // namespace fathom::jinja
