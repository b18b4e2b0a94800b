// Text from a file or a path as messages show it. Names come from whoever made the file: one line,
// no control characters, bounded.
#pragma once

#include <string>
#include <string_view>

namespace fathom {

// Control characters (also those that turn the direction of the text) as JSON escapes, bytes that
// are not UTF-8 as U+FFFD, cut after max_bytes with "...". Quotes and backslashes stay as they are:
// what is printable already does not change, so that a message may hold parts made by this.
std::string printable(std::string_view text, size_t max_bytes = 200);

}  // namespace fathom
