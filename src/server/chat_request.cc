#include "server/chat_request.h"

#include <array>

#include "server/constraint_fields.h"

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

void read_tool_choice(ApiFields& fields, ChatRequest& out) {
  const bool has_tools = !out.conversation.tools.as_array().empty();
  out.parses_calls = has_tools;
  const Json* const choice = fields.find("tool_choice");
  if (choice == nullptr) return;
  if (!choice->is_string() || (choice->as_string() != "auto" && choice->as_string() != "none")) {
    fields.fail("tool_choice",
                "tool_choice is neither \"auto\" nor \"none\": calls cannot be forced here",
                "unsupported_value");
    return;
  }
  if (choice->as_string() == "auto" && !has_tools)
    fields.fail("tool_choice", "tool_choice goes with tools");
  if (choice->as_string() == "none") {
    out.parses_calls = false;
    out.conversation.tools = Json::array();
  }
}

void read_logprobs(ApiFields& fields, ChatRequest& out) {
  fields.boolean("logprobs", out.logprobs);
  int64_t top = 0;
  fields.integer("top_logprobs", top, 0, kTopLogprobsMax);
  if (fields.has("top_logprobs") && !out.logprobs)
    fields.fail("top_logprobs", "top_logprobs goes with \"logprobs\": true");
  if (out.logprobs) out.generation.request.logprobs = top;
}

// What is asked for and cannot be given is not passed over.
void refuse_what_is_missing(ApiFields& fields) {
  for (const char* name : {"audio", "functions", "function_call", "prompt_logprobs"}) {
    if (fields.has(name))
      fields.fail(name, str_cat(name, " is not supported by this server"), "unsupported_value");
  }
}

}  // namespace

std::optional<ApiError> parse_chat_request(const Json& body, const SamplingParams& defaults,
                                           int64_t vocab_size, ChatRequest& out) {
  ApiFields fields(body);
  fields.text("model", out.model, 1024);
  read_generation(fields, defaults, vocab_size, out.generation);
  if (out.generation.request.max_tokens == 0)
    fields.fail(fields.has("max_completion_tokens") ? "max_completion_tokens" : "max_tokens",
                "max_tokens is 0, expected 1 or more");
  read_messages(fields, out.conversation);
  read_tool_choice(fields, out);
  read_logprobs(fields, out);
  read_constraint(fields, out.generation.request);
  refuse_what_is_missing(fields);
  out.context = Json::object();
  read_thinking(fields, out.context);
  if (!fields.ok()) return fields.error();
  out.context.set("messages", std::move(out.conversation.messages));
  if (!out.conversation.tools.as_array().empty()) out.context.set("tools", out.conversation.tools);
  out.context.set("add_generation_prompt", true);
  return {};
}

}  // namespace fathom
