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

// Text as a model writes it: what spells added tokens are those. n_read: of its tokens that are
// left out at the beginning.
Expr model_text(GrammarBuilder& b, const Tokenizer& tokenizer, std::string_view text,
                size_t n_read = 0) {
  std::vector<Expr> parts;
  const std::vector<int32_t> ids = tokenizer.encode(text, {.recognize_added = true});
  for (const int32_t id : std::span<const int32_t>(ids).subspan(n_read)) {
    const std::string_view bytes = tokenizer.token_bytes(id);
    parts.push_back(tokenizer.is_added(id) ? b.control_token(bytes) : b.text(bytes));
  }
  return b.sequence(std::move(parts));
}

Result<Expr> arguments_expr(GrammarBuilder& b, const CallableTool& tool) {
  if (tool.is_free) return b.repeat(b.characters({}, /*negated=*/true), 0, -1);
  // {}, as some clients write it, means no more than that they are an object.
  if (tool.parameters == nullptr || tool.parameters->as_object().empty())
    return json_object_expr(b);
  return json_schema_expr(b, *tool.parameters);
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
    form.close = form.tail.substr(0, form.tail.find(markers.call_end));
    form.has_more = form.to_arguments == from_to(name[1] + kNames[1].size(), arguments[1]) &&
                    form.between.starts_with(form.close);
    return form;
  }
  return invalid_error(
      "the chat template of this model does not write calls of tools in a known form");
}

Result<Grammar> calls_grammar(const CallForm& form, std::span<const CallableTool> tools,
                              const CallsGrammarOptions& options, const Tokenizer& tokenizer) {
  GrammarBuilder b;
  std::vector<Expr> bodies;
  const auto text = [&](std::string_view of) { return model_text(b, tokenizer, of); };
  for (const CallableTool& tool : tools) {
    const auto arguments = arguments_expr(b, tool);
    if (!arguments.ok())
      return invalid_error(str_cat("the parameters of ", tool.name), arguments.error().message);
    std::vector<Expr> parts = {b.text(tool.name), text(form.to_arguments), *arguments};
    if (!tool.is_free) parts.push_back(text(form.close));
    bodies.push_back(b.sequence(std::move(parts)));
  }
  const int32_t one = b.declare_rule(), root = b.declare_rule();
  b.define_rule(one, b.choice(std::move(bodies)));
  const auto behind_close = [&](const std::string& all) {
    return text(std::string_view(all).substr(form.close.size()));
  };
  const int64_t n_more = form.has_more ? options.calls_max - 1 : 0;
  const Expr more =
      form.has_more ? b.sequence({behind_close(form.between), b.call(one)}) : b.empty();
  b.define_rule(
      root, b.sequence({model_text(b, tokenizer, form.head, options.opened ? 1 : 0), b.call(one),
                        b.repeat(more, 0, n_more), behind_close(form.tail)}));
  return b.finish(root);
}

Result<int32_t> calls_opener(const CallForm& form, const Tokenizer& tokenizer) {
  const std::vector<int32_t> ids = tokenizer.encode(form.head, {.recognize_added = true});
  if (ids.empty() || !tokenizer.is_added(ids.front()))
    return invalid_error("this model has no token of its own that begins calls of tools");
  return ids.front();
}

}  // namespace fathom
