// Regular expressions as grammars: what an answer, or a string within JSON, must match. Literals,
// classes, groups, alternatives, repetitions, anchors at the ends; what no finite automaton can
// follow (look-around, back-references) is refused by name.
#pragma once

#include <string_view>

#include "engine/grammar.h"

namespace fathom {

struct RegexOptions {
  bool whole = true;            // else a part that matches is enough, unless anchors say otherwise
  bool in_json_string = false;  // characters as JSON writes them between its quotes
};

Result<GrammarBuilder::Expr> regex_expression(GrammarBuilder& builder, std::string_view pattern,
                                              const RegexOptions& options);
// An answer that is the expression's text.
Result<Grammar> regex_grammar(std::string_view pattern);

// A character of the ranges, as JSON writes it between quotes.
GrammarBuilder::Expr json_characters(GrammarBuilder& builder, std::vector<CodeRange> ranges,
                                     bool negated);

}  // namespace fathom
