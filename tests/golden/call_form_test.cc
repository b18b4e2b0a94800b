// Goal: a forced call is what the model's own template would have written. Method: the family's
// templates.
#include "engine/call_form.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "engine/answer_parser.h"
#include "engine/grammar_matcher.h"
#include "tests/support/temp_dir.h"
#include "tokenizer/load_tokenizer.h"

namespace fathom {
namespace {

struct Family {
  const char* name;
  const char* head;
  const char* to_arguments;
};

class CallForms : public ::testing::TestWithParam<Family> {};

// Behind the marker that begins calls, with arguments of the second tool that are any text.
void expect_opened(const CallForm& form, const Json& schema, const Tokenizer& tokenizer,
                   const TokenTrie& trie) {
  const std::vector<CallableTool> tools = {{"f", &schema},
                                           {.name = "g", .parameters = nullptr, .is_free = true}};
  const auto grammar = std::make_shared<const Grammar>(
      calls_grammar(form, tools, {.calls_max = 2, .opened = true}, tokenizer).value());
  const auto follows = [&](const std::string& of_f, const std::string& of_g) {
    const std::vector<int32_t> ids =
        tokenizer.encode(form.head + "f" + form.to_arguments + of_f + form.between + "g" +
                             form.to_arguments + of_g + form.tail,
                         {.recognize_added = true});
    EXPECT_EQ(ids.front(), calls_opener(form, tokenizer).value());
    GrammarMatcher matcher(grammar, trie);
    return std::all_of(ids.begin() + 1, ids.end(),
                       [&](int32_t id) { return matcher.accept(id); }) &&
           matcher.is_complete();
  };
  EXPECT_TRUE(follows(R"({"a": 1})", "not,\n JSON é"));
  EXPECT_FALSE(follows(R"({"a": "1"})", "{}"));
  EXPECT_FALSE(follows(R"({"a": 1})", "<｜tool▁sep｜>"));
}

TEST_P(CallForms, AreReadOffTheTemplate) {
  const std::string template_file = str_cat(FATHOM_SHARED "/reference/chat/", GetParam().name);
  if (!std::filesystem::exists(template_file)) GTEST_SKIP() << template_file << " is not there";
  const test::TempDir folder;
  folder.write("chat_template.jinja", test::read_file(template_file));
  folder.write("tokenizer_config.json", "{}");
  folder.write("tokenizer.json",
               test::read_file(FATHOM_TESTDATA "/../models/default/tokenizer.json"));
  const auto files = ModelFiles::open_folder(folder.path()).value();
  const auto tokenizer = load_tokenizer(files).value();
  PromptBuilder prompts(files, tokenizer);
  const Result<CallForm> form = read_call_form(prompts);
  ASSERT_TRUE(form.ok()) << form.error().message;
  EXPECT_EQ(form->head, GetParam().head);
  EXPECT_EQ(form->to_arguments, GetParam().to_arguments);
  EXPECT_TRUE(form->has_more);

  const auto schema = parse_json(R"({"type": "object", "properties": {"a": {"type": "integer"}},
      "required": ["a"]})");
  const std::vector<CallableTool> tools = {{"f", &*schema}, {"g", nullptr}};
  const auto grammar = std::make_shared<const Grammar>(
      calls_grammar(*form, tools, {.calls_max = 2}, tokenizer).value());
  const TokenTrie trie(tokenizer);
  const auto follows = [&](const std::string& text) {
    GrammarMatcher matcher(grammar, trie);
    for (const int32_t id : tokenizer.encode(text, {.recognize_added = true}))
      if (!matcher.accept(id)) return false;
    return matcher.is_complete();
  };
  const auto call = [&](const std::string& name, const std::string& arguments) {
    return name + form->to_arguments + arguments;
  };
  const std::string one = form->head + call("f", R"({"a": 1})");
  EXPECT_TRUE(follows(one + form->tail));
  const std::string two = one + form->between + call("g", R"({"x": "<y>"})") + form->tail;
  EXPECT_TRUE(follows(two));
  EXPECT_FALSE(follows(form->head + call("f", R"({"a": "1"})") + form->tail));
  EXPECT_FALSE(follows(form->head + call("h", R"({"a": 1})") + form->tail));
  EXPECT_FALSE(follows(one + form->between + call("f", R"({"a": 1})") + form->between +
                       call("f", R"({"a": 1})") + form->tail));

  // Nothing but the marker itself is the marker.
  GrammarMatcher begin(grammar, trie);
  int n = 0;
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id)
    n += static_cast<int>(begin.allowed()[static_cast<size_t>(id) / 64] >> (id % 64) & 1);
  EXPECT_EQ(n, 1);
  expect_opened(*form, *schema, tokenizer, trie);

  AnswerParser parser({.parses_calls = true});
  std::vector<AnswerPart> parts;
  parser.push(two, parts);
  parser.finish(parts);
  EXPECT_EQ(parser.n_calls(), 2);
}

INSTANTIATE_TEST_SUITE_P(
    Families, CallForms,
    ::testing::Values(
        Family{"v3.jinja", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>",
               "\n```json\n"},
        Family{"r1.jinja", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>",
               "\n```json\n"},
        Family{"v31.jinja", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>", "<｜tool▁sep｜>"}),
    [](const auto& family) {
      const std::string name = family.param.name;
      return name.substr(0, name.find('.'));
    });

}  // namespace
}  // namespace fathom
