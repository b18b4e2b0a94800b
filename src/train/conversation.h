// A conversation as a line of training data holds it, checked before it reaches a chat template:
// templates pass over what they do not know, and what they cannot add they name by their own lines.
#pragma once

#include "base/result.h"
#include "io/json.h"

namespace fathom {

// What the template gets of a line that has "messages": these and its "tools". The list is not
// empty; roles are system, user, assistant and tool; contents are strings, or null (also left out)
// where an assistant has tool_calls; each call has a function with a name and arguments, a string
// or an object. The error names the field: "messages[2].role is ...".
Result<Json> conversation_of(const Json& line);

}  // namespace fathom
