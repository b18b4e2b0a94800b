// "Did you mean ...?": the known name that is nearest to a mistyped one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fathom {

// Insertions, deletions, replacements and swaps of neighbours that turn a into b (each counts 1).
int edit_distance(std::string_view a, std::string_view b);

// The first of the nearest names; a beginning of a name is nearer than any misspelling. Empty if
// names is.
std::string nearest_name(std::string_view name, const std::vector<std::string>& names);

}  // namespace fathom
