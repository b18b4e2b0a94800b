#include "server/messages_request.h"

#include "engine/prompt.h"
#include "server/text_parts.h"

namespace fathom {

namespace {

// Fields that mean the same in both shapes.
constexpr std::string_view kSame[] = {"model", "max_tokens", "temperature",
                                      "top_p", "top_k",      "stream"};

Json plain_message(std::string_view role, std::string content) {
  return Json::Object{{"role", role}, {"content", std::move(content)}};
}

class MessagesReader {
 public:
  explicit MessagesReader(ApiFields& fields) : fields_(fields) {}

  Json read() {
    const std::string system = read_text_or_parts(fields_, "system");
    if (!system.empty()) out_.push_back(plain_message("system", system));
    const Json* const messages = fields_.array("messages");
    if (fields_.ok() && (messages == nullptr || messages->as_array().empty()))
      fields_.fail("messages", "messages is missing or empty; give at least one", "missing_field");
    if (!fields_.ok()) return out_;
    if (messages->as_array().size() > kMessagesMax)
      fields_.fail("messages", str_cat("messages has more than ", kMessagesMax, " entries"));
    for (size_t i = 0; i < messages->as_array().size() && fields_.ok(); ++i) {
      ApiFields message(messages->as_array()[i], str_cat("messages[", i, "]."));
      read_one(message);
      fields_.take(message.error());
    }
    // An answer's beginning, to be gone on with.
    if (fields_.ok() && out_.as_array().back().find("role")->as_string() == "assistant")
      out_.as_array().back().set("prefix", true);
    return out_;
  }

 private:
  void read_one(ApiFields& message) {
    std::string role;
    message.text("role", role, 40);
    if (message.ok() && role != "user" && role != "assistant")
      message.fail("role", str_cat(message.path_of("role"), " is \"", role,
                                   "\", expected user or assistant"));
    if (message.ok() && !message.has("content"))
      message.fail("content", str_cat(message.path_of("content"), " is missing"), "missing_field");
    Json calls = Json::array();
    const auto other = [&](std::string_view type, const Json& json, ApiFields& block) {
      if (type == "thinking" || type == "redacted_thinking") return role == "assistant";
      if (type == "tool_use" && role == "assistant") {
        read_call(json, block, calls);
        return true;
      }
      if (type == "tool_result" && role == "user") {
        read_result(block);
        return true;
      }
      return false;
    };
    std::string text = read_text_or_parts(message, "content", other);
    const bool says_nothing = text.empty();
    if (says_nothing && role == "user" && n_results_ > 0) {
      n_results_ = 0;
      return;  // results alone
    }
    n_results_ = 0;
    Json made = plain_message(role, std::move(text));
    if (!calls.as_array().empty()) {
      if (says_nothing) made.set("content", Json());
      made.set("tool_calls", std::move(calls));
    }
    out_.push_back(std::move(made));
  }

  static void read_call(const Json& json, ApiFields& block, Json& calls) {
    std::string id, name;
    block.text("id", id, 256);
    block.text("name", name, 256);
    const Json* const input = json.find("input");
    calls.push_back(chat_call(id, name, input == nullptr ? "{}" : input->dump()));
  }

  void read_result(ApiFields& block) {
    std::string id;
    block.text("tool_use_id", id, 256);
    Json made = plain_message("tool", read_text_or_parts(block, "content"));
    made.set("tool_call_id", id);
    out_.push_back(std::move(made));
    ++n_results_;
  }

  ApiFields& fields_;
  Json out_ = Json::array();
  int64_t n_results_ = 0;  // of the message at hand
};

void read_tools(ApiFields& fields, Json& made) {
  const Json* const tools = fields.array("tools");
  if (tools != nullptr && !tools->as_array().empty()) {
    Json list = Json::array();
    for (size_t i = 0; i < tools->as_array().size() && fields.ok(); ++i) {
      ApiFields tool(tools->as_array()[i], str_cat("tools[", i, "]."));
      std::string name, description;
      bool strict = false;
      tool.text("name", name);
      tool.boolean("strict", strict);
      tool.text("description", description);
      const Json* const schema = tool.object("input_schema");
      fields.take(tool.error());
      Json function = Json::Object{{"name", name}, {"description", description}};
      if (schema != nullptr) function.set("parameters", *schema);
      if (strict) function.set("strict", true);
      list.push_back(Json::Object{{"type", "function"}, {"function", std::move(function)}});
    }
    made.set("tools", std::move(list));
  }
  const Json* const choice = fields.object("tool_choice");
  if (choice == nullptr) return;
  ApiFields inner(*choice, "tool_choice.");
  std::string type = "auto", name;
  bool only_one = false;
  inner.text("type", type, 40);
  inner.text("name", name, 256);
  inner.boolean("disable_parallel_tool_use", only_one);
  if (inner.ok() && type != "auto" && type != "none" && type != "any" && type != "tool")
    inner.fail("type", "tool_choice.type is none of auto, any, tool and none");
  fields.take(inner.error());
  if (type == "none" || made.find("tools") != nullptr) made.set("tool_choice", type);
  if (type == "any") made.set("tool_choice", "required");
  if (type == "tool")
    made.set("tool_choice",
             Json::Object{{"type", "function"}, {"function", Json::Object{{"name", name}}}});
  if (only_one) made.set("parallel_tool_calls", false);
}

}  // namespace

std::optional<ApiError> parse_messages_request(const Json& body, const SamplingParams& defaults,
                                               int64_t vocab_size, ChatRequest& out) {
  ApiFields fields(body);
  if (fields.ok() && !fields.has("max_tokens"))
    fields.fail("max_tokens", "max_tokens is missing", "missing_field");
  Json made = Json::object();
  if (!fields.ok()) return fields.error();
  for (const std::string_view name : kSame)
    if (const Json* value = fields.find(name)) made.set(name, *value);
  if (const Json* stops = fields.find("stop_sequences")) made.set("stop", *stops);
  made.set("messages", MessagesReader(fields).read());
  read_tools(fields, made);
  if (const Json* thinking = fields.object("thinking")) {
    if (const Json* type = thinking->find("type"))
      made.set("thinking", Json::Object{{"type", *type}});
  }
  if (!fields.ok()) return fields.error();
  return parse_chat_request(made, defaults, vocab_size, out);
}

}  // namespace fathom
