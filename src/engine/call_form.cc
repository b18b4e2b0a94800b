#include "engine/call_form.h"

#include <algorithm>
#include <array>

#include "engine/json_schema.h"

namespace fathom {

namespace {

using Expr = GrammarBuilder::Expr;

// What stands for names and arguments where a template is asked how it writes them.
constexpr std::array<std::string_view, 2> kNames = {"first_name_", "second_name_"};
constexpr std::array<std::string_view, 2> kArguments = {R"({"first_": 1})", R"({"second_": 2})"};

Json two_calls() {
  Json calls = Json::array();
  // Kimi-K2's template writes ids alone, in this form.
  for (size_t i = 0; i < 2; ++i)
    calls.push_back(chat_call(str_cat("functions.", kNames[i], ":", i), kNames[i], kArguments[i]));
  Json messages = Json::array();
  messages.push_back(chat_message("user", "?"));
  messages.push_back(
      Json::Object{{"role", "assistant"}, {"content", Json()}, {"tool_calls", std::move(calls)}});
  return messages;
}

// Text as a model writes it: what spells added tokens are those.
Expr model_text(GrammarBuilder& b, const Tokenizer& tokenizer, std::string_view text) {
  std::vector<Expr> parts;
  for (const int32_t id : tokenizer.encode(text, {.recognize_added = true})) {
    const std::string_view bytes = tokenizer.token_bytes(id);
    parts.push_back(tokenizer.is_added(id) ? b.control_token(bytes) : b.text(bytes));
  }
  return b.sequence(std::move(parts));
}

}  // namespace

std::span<const CallMarkers> call_markers() {
  static constexpr CallMarkers kMarkers[] = {
      {"<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>",
       "<｜tool▁call▁end｜>"},
      {"<|tool_calls_section_begin|>", "<|tool_calls_section_end|>", "<|tool_call_begin|>",
       "<|tool_call_argument_begin|>", "<|tool_call_end|>"}};
  return kMarkers;
}

Result<CallForm> read_call_form(PromptBuilder& prompts) {
  FATHOM_TRY(const Rendered rendered, prompts.render(Json::Object{{"messages", two_calls()}}));
  std::string text;
  for (const RenderedPart& part : rendered.parts) text += part.text;
  for (const CallMarkers& markers : call_markers()) {
    std::array<size_t, 2> name{}, arguments{};
    const size_t begin = text.find(markers.section);
    size_t at = begin;
    for (size_t i = 0; i < 2; ++i) {
      at = name[i] = text.find(kNames[i], at);
      at = arguments[i] = text.find(kArguments[i], at);
    }
    const size_t end = text.find(markers.section_end, at);
    if (end == std::string::npos) continue;
    const auto from_to = [&](size_t first, size_t last) {
      return text.substr(first, last - first);
    };
    CallForm form;
    form.head = from_to(begin, name[0]);
    form.to_arguments = from_to(name[0] + kNames[0].size(), arguments[0]);
    form.between = from_to(arguments[0] + kArguments[0].size(), name[1]);
    form.tail = from_to(arguments[1] + kArguments[1].size(), end + markers.section_end.size());
    form.has_more = form.to_arguments == from_to(name[1] + kNames[1].size(), arguments[1]);
    return form;
  }
  return invalid_error(
      "the chat template of this model does not write calls of tools in a known form");
}

Result<Grammar> calls_grammar(const CallForm& form, std::span<const CallableTool> tools,
                              int64_t calls_max, const Tokenizer& tokenizer) {
  GrammarBuilder b;
  std::vector<Expr> bodies;
  for (const CallableTool& tool : tools) {
    // {}, as some clients write it, means no more than that they are an object.
    const bool is_free = tool.parameters == nullptr || tool.parameters->as_object().empty();
    const auto arguments =
        is_free ? Result<Expr>(json_object_expr(b)) : json_schema_expr(b, *tool.parameters);
    if (!arguments.ok())
      return invalid_error(str_cat("the parameters of ", tool.name), arguments.error().message);
    bodies.push_back(
        b.sequence({b.text(tool.name), model_text(b, tokenizer, form.to_arguments), *arguments}));
  }
  const int32_t one = b.declare_rule(), root = b.declare_rule();
  b.define_rule(one, b.choice(std::move(bodies)));
  const Expr more = b.sequence({model_text(b, tokenizer, form.between), b.call(one)});
  b.define_rule(root, b.sequence({model_text(b, tokenizer, form.head), b.call(one),
                                  b.repeat(more, 0, form.has_more ? calls_max - 1 : 0),
                                  model_text(b, tokenizer, form.tail)}));
  return b.finish(root);
}

}  // namespace fathom
