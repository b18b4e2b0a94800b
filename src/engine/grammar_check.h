// What must hold of a grammar before an answer follows it.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/grammar.h"

namespace fathom {

// Takes away the edges from which the end of their rule cannot be reached. False if the root's end
// cannot be reached: nothing matches.
bool keep_what_ends(std::vector<Grammar::State>& states, const std::vector<int32_t>& rules,
                    int32_t root);

// Errors: a rule that calls itself before it has read a byte; calls that take too long to follow.
Status check_left_calls(const Grammar& grammar);

}  // namespace fathom
