// Values as text: as Python's str() and repr() write them, and as JSON (json.dumps without ASCII
// escapes).
#pragma once

#include <string>

#include "base/result.h"
#include "tokenizer/jinja_value.h"

namespace fathom::jinja {

// str(value): "" of an undefined value.
Status append_text(TextBuilder& out, const Value& value);
Status append_repr(TextBuilder& out, const Value& value);
// str(value) as a value; a text is returned as it is.
Result<Value> to_text(Heap& heap, const Value& value);

struct JsonStyle {
  int64_t indent = -1;  // blanks a level; below 0: all on one line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  bool sort_keys = false;
  bool ensure_ascii = false;
};
Status append_json(TextBuilder& out, const Value& value, const JsonStyle& style, int64_t level = 0);

// "0.1", "1e+20", "inf": the shortest digits that read back as the same double.
std::string float_text(double value);
// & < > " ' as entities.
Status append_escaped(TextBuilder& out, const Value& value);

}  // namespace fathom::jinja
