#include "server/chat_messages.h"

#include <algorithm>
#include <set>

#include "engine/prompt.h"
#include "server/text_parts.h"

namespace fathom {

namespace {

constexpr size_t kNameBytesMax = 64;

bool is_function_name(std::string_view name) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  };
  return !name.empty() && name.size() <= kNameBytesMax &&
         std::all_of(name.begin(), name.end(), fits);
}

class MessageReader {
 public:
  MessageReader(ApiFields& fields, ChatMessages& out) : fields_(fields), out_(out) {}

  void read(const Json& json, size_t index) {
    ApiFields message(json, str_cat("messages[", index, "]."));
    std::string role, content, name;
    if (message.ok() && !message.has("role"))
      message.fail("role", str_cat(message.path_of("role"), " is missing"), "missing_field");
    message.text("role", role, 40);
    if (role == "developer") role = "system";
    if (message.ok() && role != "system" && role != "user" && role != "assistant" && role != "tool")
      message.fail("role", str_cat(message.path_of("role"), " is \"", role,
                                   "\", expected system, developer, user, assistant or tool"));
    content = read_text_or_parts(message, "content");
    message.text("name", name, 256);
    Json made = Json::object();
    made.set("role", role);
    if (!name.empty()) made.set("name", name);
    if (role == "assistant") read_calls(message, made);
    if (role == "tool") read_result(message, made);
    const bool may_be_empty = role == "assistant" && made.find("tool_calls") != nullptr;
    if (message.ok() && !message.has("content") && !may_be_empty)
      message.fail("content", str_cat(message.path_of("content"), " is missing"), "missing_field");
    made.set("content", message.has("content") ? Json(content) : Json());
    std::string reasoning;
    message.text("reasoning_content", reasoning);
    if (!reasoning.empty()) made.set("reasoning_content", reasoning);
    message.boolean("prefix", is_beginning_);
    if (is_beginning_ && role != "assistant")
      message.fail("prefix", "prefix belongs to the last message, of the assistant");
    fields_.take(message.error());
    out_.messages.push_back(std::move(made));
  }
  bool is_beginning() const { return is_beginning_; }  // of the message read last

 private:
  void read_calls(ApiFields& message, Json& made) {
    const Json* const calls = message.array("tool_calls");
    if (calls == nullptr || calls->as_array().empty()) return;
    Json list = Json::array();
    for (size_t i = 0; i < calls->as_array().size(); ++i) {
      ApiFields call(calls->as_array()[i], str_cat(message.path_of("tool_calls"), "[", i, "]."));
      std::string id, name, arguments;
      call.text("id", id, 256);
      const Json* const function = call.object("function");
      if (call.ok() && function == nullptr)
        call.fail("function", str_cat(call.path_of("function"), " is missing"), "missing_field");
      if (function != nullptr) {
        ApiFields inner(*function, call.path_of("function."));
        inner.text("name", name, 256);
        inner.text("arguments", arguments);
        call.take(inner.error());
      }
      message.take(call.error());
      if (!id.empty()) known_calls_.insert(id);
      list.push_back(chat_call(id, name, arguments));
    }
    made.set("tool_calls", std::move(list));
  }

  void read_result(ApiFields& message, Json& made) {
    std::string id;
    message.text("tool_call_id", id, 256);
    if (message.ok() && !known_calls_.contains(id))
      message.fail("tool_call_id", str_cat(message.path_of("tool_call_id"), " is \"", id,
                                           "\", which no call before it has"));
    made.set("tool_call_id", id);
  }

  ApiFields& fields_;
  ChatMessages& out_;
  std::set<std::string> known_calls_;
  bool is_beginning_ = false;
};

void read_tools(ApiFields& fields, ChatMessages& out) {
  const Json* const tools = fields.array("tools");
  if (tools == nullptr) return;
  const size_t n = tools->as_array().size();
  if (n == 0) fields.fail("tools", "tools is empty; leave it out or give some");
  if (n > kToolsMax)
    fields.fail("tools", str_cat("tools has ", n, " entries, at most ", kToolsMax, " are taken"));
  std::set<std::string> names;
  for (size_t i = 0; i < n && fields.ok(); ++i) {
    ApiFields tool(tools->as_array()[i], str_cat("tools[", i, "]."));
    std::string type = "function", name, description;
    bool strict = false;
    tool.text("type", type, 40);
    if (type != "function")
      tool.fail("type", str_cat(tool.path_of("type"), " is \"", type, "\", expected function"));
    const Json* const function = tool.object("function");
    if (tool.ok() && function == nullptr)
      tool.fail("function", str_cat(tool.path_of("function"), " is missing"), "missing_field");
    if (function != nullptr) {
      ApiFields inner(*function, tool.path_of("function."));
      inner.text("name", name);
      inner.text("description", description);
      inner.object("parameters");
      inner.boolean("strict", strict);
      if (inner.ok() && !is_function_name(name))
        inner.fail("name", str_cat(inner.path_of("name"), " is \"", name.substr(0, 80),
                                   "\", expected 1 to 64 letters, digits, _, - and ."));
      if (inner.ok() && !names.insert(name).second)
        inner.fail("name", str_cat("two tools have the name \"", name, "\""));
      tool.take(inner.error());
    }
    fields.take(tool.error());
    out.tools.push_back(tools->as_array()[i]);
  }
}

}  // namespace

bool is_strict(const Json& tool) {
  const Json* const strict = tool.find("function")->find("strict");
  return strict != nullptr && strict->is_bool() && strict->as_bool();
}

void read_messages(ApiFields& fields, ChatMessages& out) {
  const Json* const messages = fields.array("messages");
  if (!fields.ok()) return;
  if (messages == nullptr || messages->as_array().empty()) {
    fields.fail("messages", "messages is missing or empty; give at least one", "missing_field");
    return;
  }
  const size_t n = messages->as_array().size();
  if (n > kMessagesMax) {
    fields.fail("messages",
                str_cat("messages has ", n, " entries, at most ", kMessagesMax, " are taken"));
    return;
  }
  MessageReader reader(fields, out);
  for (size_t i = 0; i < n && fields.ok(); ++i) {
    reader.read(messages->as_array()[i], i);
    if (reader.is_beginning() && i + 1 < n)
      fields.fail("messages", "prefix belongs to the last message, of the assistant");
  }
  read_tools(fields, out);
  if (!fields.ok()) return;

  bool continue_final = false, add_prompt = true;
  fields.boolean("continue_final_message", continue_final);
  fields.boolean("add_generation_prompt", add_prompt);
  const bool both = continue_final && fields.has("add_generation_prompt") && add_prompt;
  if (both)
    fields.fail("continue_final_message",
                "continue_final_message and add_generation_prompt exclude each other");
  Json& last = out.messages.as_array().back();
  if (continue_final && last.find("role")->as_string() != "assistant")
    fields.fail("continue_final_message", "the last message is not the assistant's");
  if (!fields.ok() || !(continue_final || reader.is_beginning())) return;
  out.continues = true;
  if (last.find("content")->is_string()) out.beginning = last.find("content")->as_string();
  out.messages.as_array().pop_back();
  if (out.messages.as_array().empty())
    fields.fail("messages", "there is nothing before the answer that is to be continued");
}

}  // namespace fathom
