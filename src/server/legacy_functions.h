// OpenAI's older spelling of tools: "functions", "function_call", and messages that hold or answer
// a "function_call". Rewritten into tools before a chat request is read, so that the rest knows one
// spelling.
#pragma once

#include <optional>

#include "io/json.h"
#include "server/api_error.h"

namespace fathom {

// Whether any of it is in the body of a chat request.
bool has_legacy_functions(const Json& body);

// body, an object that has some of it, with "tools", "tool_choice" and "tool_calls" instead. A
// result of a function answers the last call of its name. Errors: what could not be told from
// tools, by the name that the client gave it; the rest is left to whoever reads tools.
std::optional<ApiError> rewrite_legacy_functions(Json& body);

// An error that names tools, for a client that said functions: "tools[0].function.name" becomes
// "functions[0].name".
ApiError with_legacy_names(ApiError error);

}  // namespace fathom
