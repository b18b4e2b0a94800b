// Goal: the interpreter means what jinja2 means, within its limits. Method: every line of the
// reference jinja.jsonl (testdata/chat), and templates that try to run long or grow large.
#include <gtest/gtest.h>

#include <fstream>

#include "tokenizer/chat_template.h"

namespace fathom {
namespace {

// Asks for the address of a Python object: refused.
constexpr std::string_view kRefused = "{{ x.items }}";

TEST(Jinja, AgreesWithTheReference) {
  std::ifstream file(FATHOM_TESTDATA "/chat/jinja.jsonl");
  ASSERT_TRUE(file) << "testdata/chat/jinja.jsonl is missing";
  int n_lines = 0;
  for (std::string line; std::getline(file, line); ++n_lines) {
    const auto entry = parse_json(line);
    ASSERT_TRUE(entry.ok()) << line;
    const std::string& source = entry->find("template")->as_string();
    std::string got;
    auto parsed = ChatTemplate::parse(source);
    std::string error = parsed.ok() ? "" : parsed.error().message;
    if (parsed.ok()) {
      auto rendered = parsed->render(*entry->find("context"), "", "");
      if (rendered.ok())
        got = rendered->text();
      else
        error = rendered.error().message;
    }
    const Json* text = entry->find("text");
    if (text == nullptr || source == kRefused) {
      EXPECT_NE(error, "") << source;
    } else {
      EXPECT_EQ(error, "") << source;
      EXPECT_EQ(got, text->as_string()) << source;
    }
  }
  EXPECT_GT(n_lines, 80);
}

std::string error_of(std::string_view source) {
  auto parsed = ChatTemplate::parse(source);
  if (!parsed) return parsed.error().message;
  auto rendered = parsed->render(Json::object(), "", "");
  return rendered ? "" : rendered.error().message;
}

TEST(Jinja, LimitsHold) {
  const std::string many(100'000, '(');
  const std::string lists(100'000, '[');
  const std::string nots = [] {
    std::string s;
    for (int i = 0; i < 100'000; ++i) s += "not ";
    return s;
  }();
  const std::string blocks = [] {
    std::string s;
    for (int i = 0; i < 50'000; ++i) s += "{% if 1 %}";
    return s;
  }();
  const std::string sums = [] {
    std::string s = "1";
    for (int i = 0; i < 50'000; ++i) s += "+1";
    return s;
  }();
  for (const std::string& source : std::vector<std::string>{
           "{{ " + many + "1 }}", "{{ " + lists + " }}", "{{ " + nots + "1 }}", blocks,
           "{{ " + sums + " }}", "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
           "{{ 'x' * 10**9 }}", "{{ range(10**9) | list }}", "{{ [0] * 10**9 }}", "{{ 2 ** 1000 }}",
           "{{ '%099999999d' % 1 }}",
           "{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}",
           "{% set ns = namespace(x='abcdefgh') %}{% for i in range(90000) %}{% set ns.x = ns.x ~ "
           "ns.x %}{% endfor %}",
           "{% set ns = namespace(x=[]) %}{% for i in range(90000) %}{% set ns.x = [ns.x, ns.x] "
           "%}{% endfor %}{{ ns.x }}",
           "{% set ns = namespace(x=1) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% "
           "endfor %}{{ ns.x }}"}) {
    EXPECT_NE(error_of(source), "") << source.substr(0, 80);
  }
}

TEST(Jinja, ErrorsNameTheLine) {
  EXPECT_EQ(error_of("a\nb\n{% if %}"),
            "template line 3: expected an expression, got end of statement block");
  EXPECT_EQ(error_of("\n{{ missing.x }}"), "template line 2: 'missing' is undefined");
  EXPECT_EQ(error_of("\n\n{% endfor %}"), "template line 3: unknown tag 'endfor'");
}

}  // namespace
}  // namespace fathom
