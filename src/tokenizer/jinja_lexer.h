// The tokens of a template: text between tags, and the words inside {{ ... }} and {% ... %}. White
// space is handled here, as Jinja does with trim_blocks and lstrip_blocks: a line break after a
// block or comment goes, blanks before one at the beginning of a line go, and the signs - and + at
// a tag ask for more or less of it. Comments are gone,
// {% raw %} is text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tokenizer/jinja_budget.h"

namespace fathom::jinja {

enum class TokenType : uint8_t {
  kData,           // text: the template's own words
  kBlockBegin,     // {%
  kBlockEnd,       // %}
  kVariableBegin,  // {{
  kVariableEnd,    // }}
  kName,
  kString,   // text: without quotes, escapes undone
  kInteger,  // text: digits as written
  kFloat,
  kOperator,  // text: "==", "(", "|", ...
  kEnd,
};

struct Token {
  TokenType type;
  int32_t line;
  std::string text;

  bool is_name(std::string_view word) const { return type == TokenType::kName && text == word; }
  bool is_op(std::string_view op) const { return type == TokenType::kOperator && text == op; }
  // How messages name it: "'for'", "end of print statement".
  std::string describe() const;
};

// Ends with a kEnd. The source is UTF-8 (checked).
Result<std::vector<Token>> tokenize(std::string_view source, const JinjaLimits& limits);

// "template line 3: what"
Error syntax_error(int32_t line, std::string_view what);

}  // namespace fathom::jinja
