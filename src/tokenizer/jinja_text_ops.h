// Operations on texts that filters and methods share. All keep the marks of origin.
#pragma once

#include <string_view>

#include "tokenizer/jinja_value.h"

namespace fathom::jinja {

enum class CaseOp { kUpper, kLower, kCapitalize, kTitleMethod, kTitleFilter, kSwap };
Value convert_case(Heap& heap, const JinjaText& text, CaseOp op);

// Without the characters of `chars` (white space if null) at the sides wanted.
Value strip(Heap& heap, const JinjaText& text, const std::string_view* chars, bool left,
            bool right);
// The first `count` occurrences (all if negative) of `old` become `with`.
Value replace(Heap& heap, const JinjaText& text, std::string_view old, const JinjaText& with,
              int64_t count);
// At separator (white space if null), at most max_splits times (no limit if negative), from the
// right if so asked.
Values split(Heap& heap, const JinjaText& text, const std::string_view* separator,
             int64_t max_splits, bool from_right);
Values split_lines(Heap& heap, const JinjaText& text, bool keep_ends);
// Items with separator between; with markup where any part is.
Result<Value> join(Heap& heap, const Value& separator, const Values& items, bool strict);

}  // namespace fathom::jinja
