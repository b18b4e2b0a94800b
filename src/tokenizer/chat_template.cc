#include "tokenizer/chat_template.h"

#include <utility>

#include "tokenizer/jinja_interpreter.h"
#include "tokenizer/jinja_parser.h"

namespace fathom {

struct ChatTemplate::State {
  jinja::Template source;
  JinjaLimits limits;
};

std::string Rendered::text() const {
  std::string out;
  for (const RenderedPart& part : parts) out += part.text;
  return out;
}

Result<ChatTemplate> ChatTemplate::parse(std::string_view source, const JinjaLimits& limits) {
  FATHOM_TRY(jinja::Template parsed, jinja::parse_template(source, limits));
  auto state = std::make_shared<State>();
  state->source = std::move(parsed);
  state->limits = limits;
  return ChatTemplate(std::shared_ptr<const State>(std::move(state)));
}

Result<Rendered> ChatTemplate::render(const Json& context, std::string_view bos_token,
                                      std::string_view eos_token) const {
  if (!context.is_object())
    return invalid_error("a template's variables must be an object, not ", context.type_name());
  JinjaBudget budget(state_->limits);
  jinja::Interpreter interpreter(state_->source, budget);
  interpreter.set_global("bos_token", interpreter.heap().string(std::string(bos_token), true));
  interpreter.set_global("eos_token", interpreter.heap().string(std::string(eos_token), true));
  for (const auto& [name, value] : context.as_object()) {
    if (interpreter.uses(name)) interpreter.set_global(name, interpreter.heap().from_json(value));
  }
  FATHOM_TRY(const JinjaText text, interpreter.run());
  Rendered rendered;
  text.for_each_run([&](std::string_view piece, bool trusted) {
    rendered.parts.push_back({std::string(piece), trusted});
  });
  return rendered;
}

Result<ChatTemplate> choose_chat_template(std::string_view chat_template_jinja,
                                          std::string_view tokenizer_config_json, bool with_tools) {
  if (!chat_template_jinja.empty()) return ChatTemplate::parse(chat_template_jinja);
  auto config = parse_json(tokenizer_config_json);
  if (!config) return invalid_error("tokenizer_config.json: ", config.error().message);
  const Json* found = config->find("chat_template");
  if (found == nullptr || found->is_null()) {
    return invalid_error(
        "the model has no chat template: neither chat_template.jinja nor `chat_template` in "
        "tokenizer_config.json is there; name one with --template");
  }
  if (found->is_string()) return ChatTemplate::parse(found->as_string());
  if (!found->is_array())
    return invalid_error("tokenizer_config.json: chat_template is ", found->type_name());
  const Json* chosen = nullptr;
  for (const Json& entry : found->as_array()) {
    const Json *name = entry.find("name"), *source = entry.find("template");
    if (name == nullptr || source == nullptr || !name->is_string() || !source->is_string()) {
      return invalid_error(
          "tokenizer_config.json: an entry of chat_template needs the texts \"name\" and "
          "\"template\"");
    }
    if (name->as_string() == "default" && chosen == nullptr) chosen = source;
    if (name->as_string() == "tool_use" && with_tools) chosen = source;
  }
  if (chosen == nullptr)
    return invalid_error("tokenizer_config.json: chat_template has no entry named \"default\"");
  return ChatTemplate::parse(chosen->as_string());
}

}  // namespace fathom
