#include "server/responses_request.h"

#include "engine/prompt.h"
#include "server/text_parts.h"

namespace fathom {

namespace {

// Fields that chat has by the same name.
constexpr std::string_view kSame[] = {"model",
                                      "temperature",
                                      "top_p",
                                      "top_k",
                                      "min_p",
                                      "seed",
                                      "stop",
                                      "stream",
                                      "parallel_tool_calls",
                                      "prompt_cache_key",
                                      "cache_salt",
                                      "chat_template_kwargs",
                                      "priority",
                                      "regex",
                                      "ebnf",
                                      "structured_outputs"};

// As OpenAI bounds them: they are kept with the answer.
void check_metadata(ApiFields& fields) {
  constexpr size_t kPairsMax = 16, kBytesMax = 512;
  const Json* const metadata = fields.object("metadata");
  if (metadata == nullptr) return;
  bool fine = metadata->as_object().size() <= kPairsMax;
  for (const auto& [key, value] : metadata->as_object())
    fine = fine && key.size() <= kBytesMax && value.is_string() &&
           value.as_string().size() <= kBytesMax;
  if (!fine)
    fields.fail("metadata",
                str_cat("metadata is more than ", kPairsMax, " texts of ", kBytesMax, " bytes"));
}

// What is asked for and cannot be given is not passed over.
void refuse_what_is_missing(ApiFields& fields) {
  for (const char* name : {"conversation", "prompt", "max_tool_calls", "context_management"}) {
    if (fields.has(name))
      fields.fail(name, str_cat(name, " is not supported by this server"), "unsupported_value");
  }
  std::string truncation = "disabled";
  fields.text("truncation", truncation, 40);
  if (truncation != "disabled")
    fields.fail("truncation",
                "truncation is not \"disabled\": nothing is left out of a prompt here",
                "unsupported_value");
}

// Items of "input" as messages of chat.
class InputReader {
 public:
  InputReader(ApiFields& fields, ResponsesRequest& out) : fields_(fields), out_(out) {}

  void read() {
    const Json* const input = fields_.find("input");
    if (input == nullptr) {
      fields_.fail("input", "input is missing", "missing_field");
    } else if (input->is_string()) {
      keep(Json::Object{{"role", "user"}, {"content", *input}});
      out_.input_items.push_back(Json::Object{
          {"type", "message"},
          {"role", "user"},
          {"content", Json::Array{Json::Object{{"type", "input_text"}, {"text", *input}}}}});
    } else if (const Json* items = fields_.array("input")) {
      if (items->as_array().empty())
        fields_.fail("input", "input is empty; give at least one item");
      for (size_t i = 0; i < items->as_array().size() && fields_.ok(); ++i) {
        ApiFields item(items->as_array()[i], str_cat("input[", i, "]."));
        read_item(item);
        fields_.take(item.error());
      }
      if (fields_.ok()) out_.input_items = *items;
    }
  }

 private:
  void keep(Json message) { out_.messages.push_back(std::move(message)); }

  void read_item(ApiFields& item) {
    std::string type = "message";
    item.text("type", type, 80);
    if (type == "message") {
      read_message(item);
    } else if (type == "function_call") {
      read_call(item);
    } else if (type == "function_call_output") {
      std::string id;
      item.text("call_id", id, 256);
      keep(Json::Object{
          {"role", "tool"}, {"tool_call_id", id}, {"content", read_text_or_parts(item, "output")}});
    } else if (item.ok() && type != "reasoning") {
      // Earlier reasoning is no part of a prompt in this family.
      item.fail("type",
                str_cat(item.path_of("type"), " is \"", type,
                        "\", expected message, function_call, function_call_output or reasoning"));
    }
  }

  void read_message(ApiFields& item) {
    std::string role;
    item.text("role", role, 40);
    if (item.ok() && !item.has("content"))
      item.fail("content", str_cat(item.path_of("content"), " is missing"), "missing_field");
    if (item.ok() && role != "user" && role != "assistant" && role != "system" &&
        role != "developer")
      item.fail("role", str_cat(item.path_of("role"), " is \"", role,
                                "\", expected user, assistant, system or developer"));
    keep(Json::Object{{"role", role}, {"content", read_text_or_parts(item, "content")}});
  }

  // Calls belong to the answer before them.
  void read_call(ApiFields& item) {
    std::string id, name, arguments;
    item.text("call_id", id, 256);
    item.text("name", name, 256);
    item.text("arguments", arguments);
    Json::Array& messages = out_.messages.as_array();
    if (messages.empty() || messages.back().find("role")->as_string() != "assistant")
      keep(Json::Object{{"role", "assistant"}, {"content", Json()}});
    Json& last = messages.back();
    const Json* const known = last.find("tool_calls");
    Json calls = known == nullptr ? Json::array() : *known;
    calls.push_back(chat_call(id, name, arguments));
    last.set("tool_calls", std::move(calls));
  }

  ApiFields& fields_;
  ResponsesRequest& out_;
};

// {"type": "function", "name", ...} with the name within "function", as chat has it.
Json nested_function(const Json& flat) {
  Json::Object function;
  for (const auto& [key, value] : flat.as_object())
    if (key != "type" && !value.is_null()) function.emplace_back(key, value);
  return Json::Object{{"type", "function"}, {"function", std::move(function)}};
}

void read_tools(ApiFields& fields, Json& made) {
  if (const Json* tools = fields.array("tools"); tools != nullptr && !tools->as_array().empty()) {
    Json list = Json::array();
    for (size_t i = 0; i < tools->as_array().size() && fields.ok(); ++i) {
      ApiFields tool(tools->as_array()[i], str_cat("tools[", i, "]."));
      std::string type;
      tool.text("type", type, 80);
      if (tool.ok() && type != "function")
        tool.fail("type",
                  str_cat(tool.path_of("type"), " is \"", type, "\", only function is there"),
                  "unsupported_value");
      fields.take(tool.error());
      if (fields.ok()) list.push_back(nested_function(tools->as_array()[i]));
    }
    made.set("tools", std::move(list));
  }
  const Json* const choice = fields.find("tool_choice");
  if (choice == nullptr) return;
  const Json* const name = choice->find("name");
  // "auto" may stand where there are no tools: clients repeat what they were told.
  const bool means_nothing = choice->is_string() && choice->as_string() == "auto";
  if (!means_nothing) made.set("tool_choice", name == nullptr ? *choice : nested_function(*choice));
}

void read_text_format(ApiFields& fields, Json& made) {
  const Json* const text = fields.object("text");
  if (text == nullptr) return;
  ApiFields inner(*text, "text.");
  const Json* const format = inner.object("format");
  fields.take(inner.error());
  if (format == nullptr) return;
  Json out = Json::object();
  if (const Json* type = format->find("type")) out.set("type", *type);
  if (const Json* schema = format->find("schema"))
    out.set("json_schema", Json::Object{{"schema", *schema}});
  made.set("response_format", std::move(out));
}

void read_logprobs(ApiFields& fields, Json& made) {
  std::vector<std::string> include;
  fields.texts("include", include, 32, 256);
  bool wanted = false;
  for (const std::string& one : include) wanted = wanted || one == "message.output_text.logprobs";
  if (const Json* top = fields.find("top_logprobs"); top != nullptr && wanted)
    made.set("top_logprobs", *top);
  if (wanted) made.set("logprobs", true);
}

Json shown_fields(const Json& body, const ResponsesRequest& out) {
  Json shown = Json::object();
  const auto repeat = [&](std::string_view name, Json otherwise) {
    const Json* const given = body.find(name);
    shown.set(name, given == nullptr || given->is_null() ? std::move(otherwise) : *given);
  };
  const SamplingParams& sampling = out.chat.generation.request.sampling;
  repeat("instructions", {});
  repeat("max_output_tokens", {});
  repeat("metadata", Json::object());
  repeat("parallel_tool_calls", true);
  repeat("previous_response_id", {});
  repeat("reasoning", Json::Object{{"effort", Json()}, {"summary", Json()}});
  repeat("text", Json::Object{{"format", Json::Object{{"type", "text"}}}});
  repeat("tool_choice", "auto");
  repeat("tools", Json::array());
  repeat("user", {});
  shown.set("temperature", sampling.temperature);
  shown.set("top_p", sampling.top_p);
  shown.set("truncation", "disabled");
  shown.set("background", out.background);
  shown.set("store", out.store);
  return shown;
}

}  // namespace

std::optional<ApiError> parse_responses_request(const Json& body, const Json& earlier,
                                                const SamplingParams& defaults, int64_t vocab_size,
                                                ResponsesRequest& out) {
  ApiFields fields(body);
  if (!fields.ok()) return fields.error();
  refuse_what_is_missing(fields);
  check_metadata(fields);
  fields.boolean("store", out.store);
  fields.boolean("background", out.background);
  if (out.background && !out.store)
    fields.fail("background", "background goes with \"store\": true: nobody would see the answer");
  bool stream = false;
  fields.boolean("stream", stream);
  if (out.background && stream)
    fields.fail("stream", "a background response is not streamed; ask for it by its id");
  Json made = Json::object();
  for (const std::string_view name : kSame)
    if (const Json* value = fields.find(name)) made.set(name, *value);
  int64_t max_tokens = 0;
  fields.integer("max_output_tokens", max_tokens, 1, std::numeric_limits<int64_t>::max());
  if (fields.has("max_output_tokens")) made.set("max_tokens", max_tokens);
  if (const Json* reasoning = fields.object("reasoning"))
    if (const Json* effort = reasoning->find("effort")) made.set("reasoning_effort", *effort);
  if (earlier.is_array()) out.messages = earlier;
  InputReader(fields, out).read();
  std::string instructions;
  fields.text("instructions", instructions);
  Json messages = Json::array();
  if (!instructions.empty())
    messages.push_back(Json::Object{{"role", "system"}, {"content", instructions}});
  for (const Json& message : out.messages.as_array()) messages.push_back(message);
  made.set("messages", std::move(messages));
  read_tools(fields, made);
  read_text_format(fields, made);
  read_logprobs(fields, made);
  if (!fields.ok()) return fields.error();
  if (const auto error = parse_chat_request(made, defaults, vocab_size, out.chat)) return error;
  out.shown = shown_fields(body, out);
  return std::nullopt;
}

}  // namespace fathom
