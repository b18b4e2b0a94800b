#include "engine/prompt.h"

namespace fathom {

namespace {
constexpr int64_t kTemplateBytesMax = int64_t{16} << 20;

Result<std::string> text_of(const ModelFiles& files, std::string_view name) {
  if (!files.exists(name)) return std::string();
  FATHOM_TRY(const FileBytes file, files.open_small(name, kTemplateBytesMax));
  return std::string(file.text());
}
}  // namespace

Json chat_message(std::string_view role, std::string_view content) {
  Json out = Json::object();
  out.set("role", role);
  out.set("content", content);
  return out;
}

Json chat_call(std::string_view id, std::string_view name, std::string_view arguments) {
  return Json::Object{{"id", id},
                      {"type", "function"},
                      {"function", Json::Object{{"name", name}, {"arguments", arguments}}}};
}

Json chat_context(Json messages, bool thinking) {
  Json context = Json::object();
  context.set("messages", std::move(messages));
  context.set("add_generation_prompt", true);
  if (thinking) context.set("thinking", true);
  return context;
}

std::vector<int32_t> PromptBuilder::from_text(std::string_view text) const {
  return tokenizer_.encode(text, {.add_special = true, .recognize_added = true});
}

Status PromptBuilder::load(std::optional<ChatTemplate>& chosen, bool with_tools) {
  FATHOM_TRY(const std::string jinja, text_of(files_, "chat_template.jinja"));
  FATHOM_TRY(const std::string config, text_of(files_, "tokenizer_config.json"));
  FATHOM_TRY(chosen, choose_chat_template(jinja, config, with_tools));
  return {};
}

Status PromptBuilder::load() {
  loaded_ = true;
  if (tokenizer_.chat_template().empty() && !files_.exists("chat_template.jinja")) return {};
  FATHOM_RETURN_IF_ERROR(load(plain_, /*with_tools=*/false));
  return load(with_tools_, /*with_tools=*/true);
}

Result<Rendered> PromptBuilder::render(const Json& context) {
  const Json* tools = context.find("tools");
  const bool has_tools = tools != nullptr && tools->is_array() && !tools->as_array().empty();
  std::optional<ChatTemplate>& chosen = has_tools ? with_tools_ : plain_;
  if (!chosen) {
    if (loaded_) return invalid_error("this model has no chat template");
    FATHOM_RETURN_IF_ERROR(load(chosen, has_tools));
  }
  return chosen->render(context, tokenizer_.bos_token(), tokenizer_.eos_token());
}

Result<std::vector<int32_t>> PromptBuilder::from_chat(const Json& context) {
  FATHOM_TRY(const Rendered rendered, render(context));
  std::vector<TextPart> parts;
  parts.reserve(rendered.parts.size());
  for (const RenderedPart& part : rendered.parts) {
    parts.push_back({.text = part.text, .recognize_added = part.trusted || control_tokens_});
  }
  return tokenizer_.encode_parts(parts, /*add_special=*/false);
}

}  // namespace fathom
