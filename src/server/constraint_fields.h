// What an answer's text must be, in the spellings that clients use: response_format (OpenAI),
// structured_outputs and guided_* (vLLM), regex, ebnf and json_schema (SGLang), grammar
// (llama.cpp).
#pragma once

#include "engine/request.h"
#include "server/api_fields.h"

namespace fathom {

// At most one may be given. Errors: two of them; a schema, expression or grammar that cannot be
// followed, with what is wrong in it.
void read_constraint(ApiFields& fields, GenerateRequest& request);

}  // namespace fathom
