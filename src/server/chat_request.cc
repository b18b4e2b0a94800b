#include "server/chat_request.h"

#include <algorithm>
#include <array>

#include "server/constraint_fields.h"
#include "server/legacy_functions.h"

namespace fathom {

namespace {

// Template variables that a client may set.
constexpr std::array<std::string_view, 3> kTemplateKwargs = {"thinking", "enable_thinking",
                                                             "add_default_system_prompt"};

// Whether the answer begins with reasoning, where the template can do both.
void read_thinking(ApiFields& fields, Json& context) {
  if (const Json* thinking = fields.object("thinking")) {
    ApiFields inner(*thinking, "thinking.");
    std::string type = "enabled";
    inner.text("type", type);
    if (inner.ok() && type != "enabled" && type != "disabled")
      inner.fail("type", "thinking.type is neither enabled nor disabled");
    fields.take(inner.error());
    context.set("thinking", type == "enabled");
  }
  std::string effort;
  fields.text("reasoning_effort", effort, 40);
  if (!effort.empty() && context.find("thinking") == nullptr) {
    constexpr std::array<std::string_view, 7> kEfforts = {"none", "minimal", "low", "medium",
                                                          "high", "xhigh",   "max"};
    if (std::find(kEfforts.begin(), kEfforts.end(), effort) == kEfforts.end())
      fields.fail("reasoning_effort", str_cat("reasoning_effort is \"", effort,
                                              "\", expected none, minimal, low, medium, high, "
                                              "xhigh or max"));
    context.set("thinking", effort != "none" && effort != "minimal");
  }
  const Json* const kwargs = fields.object("chat_template_kwargs");
  if (kwargs == nullptr) return;
  for (const auto& [key, value] : kwargs->as_object()) {
    if (std::find(kTemplateKwargs.begin(), kTemplateKwargs.end(), key) == kTemplateKwargs.end() ||
        !value.is_bool()) {
      fields.fail("chat_template_kwargs",
                  str_cat("chat_template_kwargs has \"", key.substr(0, 40),
                          "\", expected thinking or enable_thinking, true or false"));
      return;
    }
    context.set(key, value);
    if (key == "enable_thinking") context.set("thinking", value);
  }
}

// More calls than that in one answer are a model that has lost itself.
constexpr int64_t kForcedCallsMax = 8;

std::string tool_name(const Json& tool) { return tool.find("function")->find("name")->as_string(); }

class ToolChoiceReader {
 public:
  ToolChoiceReader(ApiFields& fields, ChatRequest& out) : fields_(fields), out_(out) {}

  void read() {
    out_.parses_calls = !tools().empty();
    bool parallel = true;
    fields_.boolean("parallel_tool_calls", parallel);
    most_ = parallel ? kForcedCallsMax : 1;
    read_choice();
    // Where another field says what the answer is, no call can come.
    const bool is_free = !out_.forced_calls && out_.generation.request.grammar == nullptr;
    if (fields_.ok() && is_free && std::any_of(tools().begin(), tools().end(), is_strict))
      out_.strict_calls_max = most_;
  }

 private:
  void read_choice() {
    const Json* const choice = fields_.find("tool_choice");
    if (choice == nullptr || !fields_.ok()) return;
    if (choice->is_object()) {
      read_object(*choice);
    } else if (choice->is_string()) {
      read_mode(fields_, "tool_choice", choice->as_string());
    } else {
      refuse();
    }
  }

  const Json::Array& tools() const { return out_.conversation.tools.as_array(); }

  void refuse() {
    fields_.fail("tool_choice",
                 "tool_choice is none of \"auto\", \"none\", \"required\", "
                 "{\"type\": \"function\", \"function\": {\"name\": …}} and "
                 "{\"type\": \"allowed_tools\", …}");
  }

  void read_mode(ApiFields& fields, std::string_view name, const std::string& mode) {
    if (mode == "none") {
      out_.parses_calls = false;
      out_.conversation.tools = Json::array();
    } else if (mode != "auto" && mode != "required") {
      refuse();
    } else if (tools().empty()) {
      fields.fail(name, str_cat(fields.path_of(name), " goes with tools"));
    } else if (mode == "required") {
      ForcedCalls& forced = out_.forced_calls.emplace();
      for (const Json& tool : tools()) forced.names.push_back(tool_name(tool));
      forced.calls_max = most_;
    }
  }

  void read_object(const Json& choice) {
    ApiFields outer(choice, "tool_choice.");
    std::string type;
    outer.text("type", type, 40);
    if (type == "function") {
      const Json* const function = outer.object("function");
      if (function == nullptr) return refuse();
      const std::string name = known_name(*function, "tool_choice.function.");
      if (fields_.ok()) out_.forced_calls = ForcedCalls{{name}, 1};
    } else if (type == "allowed_tools") {
      // Its fields lie within an object of this name, or beside the type.
      const Json* const inner = outer.object("allowed_tools");
      read_allowed(inner == nullptr ? choice : *inner);
    } else {
      refuse();
    }
    fields_.take(outer.error());
  }

  void read_allowed(const Json& json) {
    ApiFields allowed(json, "tool_choice.");
    std::string mode = "auto";
    allowed.text("mode", mode, 40);
    Json kept = Json::array();
    if (const Json* list = allowed.array("tools")) {
      for (const Json& one : list->as_array()) {
        const Json* const function = one.is_object() ? one.find("function") : nullptr;
        const std::string name =
            known_name(function == nullptr ? one : *function, "tool_choice.tools.");
        for (const Json& tool : tools())
          if (tool_name(tool) == name) kept.push_back(tool);
      }
    }
    if (!fields_.ok()) return;
    if (kept.as_array().empty()) allowed.fail("tools", "tool_choice.tools names no tool");
    out_.conversation.tools = std::move(kept);
    if (allowed.ok()) read_mode(allowed, "mode", mode);
    fields_.take(allowed.error());
  }

  std::string known_name(const Json& json, const std::string& path) {
    ApiFields function(json, path);
    std::string name;
    function.text("name", name, 256);
    const bool known = std::any_of(tools().begin(), tools().end(),
                                   [&](const Json& tool) { return tool_name(tool) == name; });
    if (!known)
      function.fail("name",
                    str_cat(path, "name is \"", name.substr(0, 80), "\", which no tool has"));
    fields_.take(function.error());
    return name;
  }

  ApiFields& fields_;
  ChatRequest& out_;
  int64_t most_ = 1;
};

void read_logprobs(ApiFields& fields, ChatRequest& out) {
  fields.boolean("logprobs", out.logprobs);
  // As SGLang has it.
  fields.boolean("return_routed_experts", out.generation.request.routed_experts);
  int64_t top = 0;
  fields.integer("top_logprobs", top, 0, kTopLogprobsMax);
  if (fields.has("top_logprobs") && !out.logprobs)
    fields.fail("top_logprobs", "top_logprobs goes with \"logprobs\": true");
  if (out.logprobs) out.generation.request.logprobs = top;
}

// What is asked for and cannot be given is not passed over.
void refuse_what_is_missing(ApiFields& fields) {
  for (const char* name : {"audio", "prompt_logprobs"}) {
    if (fields.has(name))
      fields.fail(name, str_cat(name, " is not supported by this server"), "unsupported_value");
  }
}

std::optional<ApiError> parse(const Json& body, const SamplingParams& defaults, int64_t vocab_size,
                              ChatRequest& out) {
  ApiFields fields(body);
  fields.text("model", out.model, 1024);
  read_generation(fields, defaults, vocab_size, out.generation);
  if (out.generation.request.max_tokens == 0)
    fields.fail(fields.has("max_completion_tokens") ? "max_completion_tokens" : "max_tokens",
                "max_tokens is 0, expected 1 or more");
  read_messages(fields, out.conversation);
  read_constraint(fields, out.generation.request);
  ToolChoiceReader(fields, out).read();
  read_logprobs(fields, out);
  if (out.forced_calls && out.generation.request.grammar != nullptr)
    fields.fail("tool_choice",
                "tool_choice wants calls, and another field a form of text; give one");
  refuse_what_is_missing(fields);
  out.context = Json::object();
  read_thinking(fields, out.context);
  if (!fields.ok()) return fields.error();
  out.context.set("messages", std::move(out.conversation.messages));
  if (!out.conversation.tools.as_array().empty()) out.context.set("tools", out.conversation.tools);
  out.context.set("add_generation_prompt", true);
  return {};
}

}  // namespace

std::optional<ApiError> parse_chat_request(const Json& body, const SamplingParams& defaults,
                                           int64_t vocab_size, ChatRequest& out) {
  if (!has_legacy_functions(body)) return parse(body, defaults, vocab_size, out);
  Json rewritten = body;
  if (auto error = rewrite_legacy_functions(rewritten)) return error;
  const Json* const functions = body.find("functions");
  out.legacy_functions = functions != nullptr && !functions->is_null();
  auto error = parse(rewritten, defaults, vocab_size, out);
  if (error && out.legacy_functions) return with_legacy_names(*std::move(error));
  return error;
}

}  // namespace fathom
