// The literals of a template as Python reads them: escapes in texts, integers in any base.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "tokenizer/jinja_value.h"

namespace fathom::jinja {

// The text between the quotes with \n, \xhh, \uhhhh and so on undone. Unknown escapes stay as they
// are.
Result<std::string> unescape_literal(std::string_view quoted);

// "12", "1_000", "0xff", also with a sign and in another base; nothing if it is no integer or needs
// more than 128 bits. Digits may have single underscores between them.
std::optional<Int> parse_integer(std::string_view digits, int base = 10);
// As Python's float(): also "inf" and "nan", underscores between digits, no blanks.
std::optional<double> parse_float(std::string_view digits);
std::string integer_text(Int value);

}  // namespace fathom::jinja
