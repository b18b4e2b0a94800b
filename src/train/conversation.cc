#include "train/conversation.h"

#include <string>
#include <utility>

#include "io/printable.h"

namespace fathom {
namespace {

// The member, or null if it is left out or null: exports of tables write null for what is not
// there.
const Json* given(const Json& json, std::string_view key) {
  const Json* value = json.find(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

std::string_view type_of(const Json* value) {
  return value == nullptr ? "missing" : value->type_name();
}

Status check_calls(const Json& calls, const std::string& path) {
  if (!calls.is_array()) return invalid_error(path, " is ", calls.type_name(), ", expected a list");
  for (size_t i = 0; i < calls.as_array().size(); ++i) {
    const std::string function_path = str_cat(path, "[", i, "].function");
    const Json* function = given(calls.as_array()[i], "function");
    if (function == nullptr || !function->is_object())
      return invalid_error(function_path, " is ", type_of(function), ", expected an object");
    const Json* name = given(*function, "name");
    if (name == nullptr || !name->is_string())
      return invalid_error(function_path, ".name is ", type_of(name), ", expected a string");
    const Json* arguments = given(*function, "arguments");
    if (arguments == nullptr || (!arguments->is_string() && !arguments->is_object()))
      return invalid_error(function_path, ".arguments is ", type_of(arguments),
                           ", expected a string or an object");
  }
  return {};
}

// Also writes a content that is left out as null: that is what templates ask for.
Status check_message(Json& message, const std::string& path) {
  if (!message.is_object())
    return invalid_error(path, " is ", message.type_name(), ", expected an object");
  const Json* role = given(message, "role");
  if (role == nullptr || !role->is_string())
    return invalid_error(path, ".role is ", type_of(role),
                         ", expected system, user, assistant or tool");
  const std::string& who = role->as_string();
  if (who != "system" && who != "user" && who != "assistant" && who != "tool")
    return invalid_error(path, ".role is \"", printable(who, 40),
                         "\", expected system, user, assistant or tool");
  const Json* calls = given(message, "tool_calls");
  if (calls != nullptr) {
    if (who != "assistant")
      return invalid_error(path, ".tool_calls belong to the assistant, but its role is ", who);
    FATHOM_RETURN_IF_ERROR(check_calls(*calls, path + ".tool_calls"));
  }
  const Json* content = given(message, "content");
  if (content != nullptr && !content->is_string())
    return invalid_error(path, ".content is ", content->type_name(), ", expected a string");
  if (content == nullptr) {
    if (calls == nullptr || calls->as_array().empty())
      return invalid_error(path, ".content is ", type_of(message.find("content")),
                           ", expected a string (only an assistant with tool_calls needs none)");
    message.set("content", Json());
  }
  return {};
}

}  // namespace

Result<Json> conversation_of(const Json& line) {
  const Json* messages = given(line, "messages");
  if (messages == nullptr || !messages->is_array())
    return invalid_error("messages is ", type_of(messages), ", expected a list");
  if (messages->as_array().empty())
    return invalid_error("messages is empty; leave the line out, or give it a message");
  Json checked = *messages;
  for (size_t i = 0; i < checked.as_array().size(); ++i)
    FATHOM_RETURN_IF_ERROR(check_message(checked.as_array()[i], str_cat("messages[", i, "]")));
  Json out = Json::object();
  out.set("messages", std::move(checked));
  if (const Json* tools = given(line, "tools")) {
    if (!tools->is_array())
      return invalid_error("tools is ", tools->type_name(), ", expected a list");
    out.set("tools", *tools);
  }
  return out;
}

}  // namespace fathom
