// Grammars as people write them: rules NAME ::= BODY with "texts", [classes], (groups),
// alternatives
// |, repetitions * + ? {m,n}, and # comments; "root" is where an answer begins. (GBNF, and the EBNF
// of other servers.)
#pragma once

#include <string_view>

#include "engine/grammar.h"

namespace fathom {

// Errors name the line.
Result<Grammar> ebnf_grammar(std::string_view text);

}  // namespace fathom
