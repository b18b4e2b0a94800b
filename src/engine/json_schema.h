// JSON schemas as grammars: the texts of JSON that a schema allows, written as Python's json.dumps
// writes them (", " and ": ", no other blanks). Properties come in the schema's order.
//
// Taken: type, enum, const, properties, required, additionalProperties (absent: none; keys of them:
// json_values.h), items, prefixItems, minItems, maxItems, minLength, maxLength, pattern, format
// (date, time, date-time, uuid), minimum, maximum, exclusiveMinimum and -Maximum of integers,
// anyOf, oneOf, allOf of one, $ref within the document, true and false. Keywords that would narrow
// what is allowed and are not among these are refused by name; those that only describe are passed
// over.
#pragma once

#include "engine/grammar.h"
#include "io/json.h"

namespace fathom {

Result<Grammar> json_schema_grammar(const Json& schema);
// Any object, what "JSON mode" means.
Result<Grammar> json_object_grammar();

// The same as parts of a larger grammar.
Result<GrammarBuilder::Expr> json_schema_expr(GrammarBuilder& builder, const Json& schema);
GrammarBuilder::Expr json_object_expr(GrammarBuilder& builder);

}  // namespace fathom
