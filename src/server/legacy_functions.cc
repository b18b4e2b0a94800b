#include "server/legacy_functions.h"

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "base/str_cat.h"
#include "server/api_fields.h"
#include "server/chat_messages.h"

namespace fathom {

namespace {

bool is_given(const Json& json, std::string_view name) {
  const Json* const value = json.find(name);
  return value != nullptr && !value->is_null();
}

bool is_result(const Json& message) {
  const Json* const role = message.find("role");
  return role != nullptr && role->is_string() && role->as_string() == "function";
}

// Gives calls ids, and results the id of the call that they answer.
class MessageRewriter {
 public:
  std::optional<ApiError> rewrite(Json& message, size_t index) {
    ApiFields fields(message, str_cat("messages[", index, "]."));
    const Json* const call = fields.object("function_call");
    std::string name, answered;
    if (call != nullptr) {
      if (is_given(message, "tool_calls"))
        fields.fail("function_call", str_cat(fields.path_of("function_call"),
                                             " and tool_calls are given; give one"));
      ApiFields inner(*call, fields.path_of("function_call."));
      std::string arguments;
      inner.text("name", name, 256);
      inner.text("arguments", arguments);
      fields.take(inner.error());
    } else if (is_result(message)) {
      fields.text("name", name, 256);
      if (const auto last = last_ids_.find(name); last != last_ids_.end()) answered = last->second;
      if (answered.empty())
        fields.fail("name", str_cat(fields.path_of("name"), " is \"", name,
                                    "\", which no call before it has"));
    }
    if (!fields.ok()) return fields.error();
    if (call != nullptr) {
      std::string& id = last_ids_[name];
      id = str_cat("function_call_", index);
      Json made = Json::Object{{"id", id}, {"type", "function"}, {"function", *call}};
      message.set("tool_calls", Json::Array{std::move(made)});
    } else if (is_result(message)) {
      message.set("role", "tool");
      message.set("tool_call_id", answered);
    }
    message.erase("function_call");
    return std::nullopt;
  }

 private:
  std::map<std::string, std::string> last_ids_;  // of the last call of each name
};

void rewrite_choice(ApiFields& fields, Json& made) {
  const Json* const choice = fields.find("function_call");
  if (choice == nullptr || !fields.ok()) return;
  const bool is_none = choice->is_string() && choice->as_string() == "none";
  if (is_none || (choice->is_string() && choice->as_string() == "auto")) {
    made.set("tool_choice", *choice);
  } else if (choice->is_object() && is_given(*choice, "name")) {
    made.set("tool_choice", Json::Object{{"type", "function"}, {"function", *choice}});
  } else {
    fields.fail("function_call", "function_call is none of \"auto\", \"none\" and {\"name\": …}");
  }
  if (!is_none && !fields.has("functions"))
    fields.fail("function_call", "function_call goes with functions");
}

void replace(std::string& text, std::string_view from, std::string_view to) {
  if (const size_t at = text.find(from); at != std::string::npos) text.replace(at, from.size(), to);
}

}  // namespace

bool has_legacy_functions(const Json& body) {
  if (is_given(body, "functions") || is_given(body, "function_call")) return true;
  const Json* const messages = body.find("messages");
  return messages != nullptr && messages->is_array() &&
         std::any_of(messages->as_array().begin(), messages->as_array().end(),
                     [](const Json& m) { return is_given(m, "function_call") || is_result(m); });
}

std::optional<ApiError> rewrite_legacy_functions(Json& body) {
  ApiFields fields(body);
  Json made = Json::object();
  const Json* const functions = fields.array("functions");
  for (const auto& [older, newer] :
       {std::pair("functions", "tools"), std::pair("function_call", "tool_choice")}) {
    const bool both = fields.has(older) && (fields.has("tools") || fields.has("tool_choice"));
    if (both) fields.fail(older, str_cat(older, " is the older spelling of ", newer, "; give one"));
  }
  if (functions != nullptr) {
    Json tools = Json::array();
    for (const Json& function : functions->as_array())
      tools.push_back(Json::Object{{"type", "function"}, {"function", function}});
    made.set("tools", std::move(tools));
    made.set("parallel_tool_calls", false);
  }
  rewrite_choice(fields, made);
  if (!fields.ok()) return fields.error();
  body.erase("functions");
  body.erase("function_call");
  for (auto& [name, value] : made.as_object()) body.set(name, std::move(value));
  MessageRewriter rewriter;
  for (auto& [name, value] : body.as_object()) {
    if (name != "messages" || !value.is_array()) continue;
    if (value.as_array().size() > kMessagesMax) continue;  // refused by whoever reads them
    for (size_t i = 0; i < value.as_array().size(); ++i) {
      Json& message = value.as_array()[i];
      if (!message.is_object()) continue;
      if (auto error = rewriter.rewrite(message, i)) return error;
    }
  }
  return std::nullopt;
}

ApiError with_legacy_names(ApiError error) {
  const std::string given = error.param;
  if (given.starts_with("tools")) {
    replace(error.param, "tools", "functions");
    replace(error.param, "].function", "]");
  } else if (given.starts_with("tool_choice")) {
    replace(error.param, "tool_choice", "function_call");
    replace(error.param, ".function", "");
  }
  // Elsewhere it may be a part of a name that the client gave.
  if (error.message.starts_with(given)) error.message.replace(0, given.size(), error.param);
  return error;
}

}  // namespace fathom
