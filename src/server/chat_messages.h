// The conversation of a request: checked, and made into what a chat template sees.
#pragma once

#include <string>

#include "io/json.h"
#include "server/api_fields.h"

namespace fathom {

inline constexpr size_t kMessagesMax = 10'000;
inline constexpr size_t kToolsMax = 128;

struct ChatMessages {
  Json messages = Json::array();  // role, content (text), tool_calls, tool_call_id, name
  Json tools = Json::array();
  // The last message is an answer's beginning, to be gone on with: it is left out of messages.
  bool continues = false;
  std::string beginning;
};

// "messages" and "tools" of a chat request. Parts of texts are joined; developer is system; images
// and sounds are refused by name; a result of a tool must answer a call before it.
void read_messages(ApiFields& fields, ChatMessages& out);

// Of a tool that has been read: "strict": true.
bool is_strict(const Json& tool);

}  // namespace fathom
