// The filters of Jinja ("| upper"): one table, three files.
#pragma once

#include <span>
#include <string_view>

#include "tokenizer/jinja_interpreter.h"

namespace fathom::jinja {

struct Filter {
  std::string_view name;
  Result<Value> (*apply)(Interpreter& interpreter, const Value& input,
                         const CallArguments& arguments);
};

const Filter* find_filter(std::string_view name);
std::span<const Filter> text_filters();      // jinja_filters_text.cc
std::span<const Filter> sequence_filters();  // jinja_filters_sequence.cc
std::span<const Filter> select_filters();    // jinja_filters_select.cc

}  // namespace fathom::jinja
