// The tests of Jinja ("is defined").
#pragma once

#include <string_view>

#include "tokenizer/jinja_interpreter.h"

namespace fathom::jinja {

struct Test {
  std::string_view name;
  Result<bool> (*apply)(const Value& input, const Value* argument, Interpreter& interpreter);
  int n_arguments;
};
const Test* find_test(std::string_view name);

}  // namespace fathom::jinja
