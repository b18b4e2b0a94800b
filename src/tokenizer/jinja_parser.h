// From tokens to a tree, with Jinja's grammar and its precedences (which are not Python's: -2 ** 2
// is 4). Not here, and refused by name: include, import, extends, block, which need other files.
#pragma once

#include <string_view>

#include "base/result.h"
#include "tokenizer/jinja_ast.h"

namespace fathom::jinja {

// Errors name the line.
Result<Template> parse_template(std::string_view source, const JinjaLimits& limits);

}  // namespace fathom::jinja
