// Goal: schemas, regular expressions and EBNF allow what they say, and hostile ones are refused in
// bounded time. Method: texts that belong and texts that do not.
#include "engine/constraint.h"

#include <gtest/gtest.h>

#include "engine/ebnf.h"
#include "engine/grammar_matcher.h"
#include "engine/json_schema.h"
#include "engine/regex_grammar.h"

namespace fathom {
namespace {

using Texts = std::vector<std::string>;

void expect(Result<Grammar> made, const Texts& yes, const Texts& no, const std::string& what) {
  ASSERT_TRUE(made.ok()) << what << ": " << made.error().message;
  static const TokenTrie trie(Texts{"a"});
  const auto grammar = std::make_shared<const Grammar>(std::move(made).value());
  const auto matches = [&](const std::string& text) {
    GrammarMatcher matcher(grammar, trie);
    return matcher.accept_bytes(text) && matcher.may_end();
  };
  for (const std::string& text : yes) EXPECT_TRUE(matches(text)) << what << " must take " << text;
  for (const std::string& text : no) EXPECT_FALSE(matches(text)) << what << " must refuse " << text;
}

void regex(const std::string& pattern, const Texts& yes, const Texts& no) {
  expect(regex_grammar(pattern), yes, no, pattern);
}
void schema(const std::string& text, const Texts& yes, const Texts& no) {
  const Result<Json> json = parse_json(text);
  ASSERT_TRUE(json.ok()) << text;
  expect(json_schema_grammar(*json), yes, no, text);
}
std::string refused(const std::string& text) {
  const Result<Json> json = parse_json(text);
  EXPECT_TRUE(json.ok()) << text;
  const Result<Grammar> made = json_schema_grammar(*json);
  return made.ok() ? "taken" : made.error().message;
}

TEST(Regex, WhatMatches) {
  regex("a|bc*", {"a", "b", "bccc"}, {"", "ab", "ac"});
  regex("^(?:ab){2,3}$", {"abab", "ababab"}, {"ab", "abababab"});
  regex("[a-c\\d_-]+", {"a1_-", "-"}, {"", "d", "A"});
  regex("[^\"\\\\]{2}", {"ab", "\xc3\xa9z"}, {"a\"", "a", "abc"});
  regex("\\w+@\\w+\\.(com|org)", {"me@x.com"}, {"me@xcom", "@x.com"});
  regex("(?P<year>\\d{4})-(?<m>0[1-9]|1[0-2])", {"2024-12"}, {"2024-13", "24-01"});
  regex("a.c",
        {"abc",
         "a\xe2\x82\xac"
         "c"},
        {"a\nc", "ac"});
  regex("x{0}", {""}, {"x"});
  regex("\\u00e9\\x41",
        {"\xc3\xa9"
         "A"},
        {"eA"});
  regex("(a+)+b", {"aaab", "ab"}, {"aaa", "b"});
  regex("(.*)*", {"", "anything"}, {});
}

TEST(Regex, WhatIsRefused) {
  for (const char* pattern :
       {"(a", "a)", "[a", "a{2", "*a", "(?=a)b", "(?<!a)b", "(a)\\1", "\\bword", "a{3,2}", "[z-a]",
        "a\\", "a{1000}{1000}", "a{100001}", "x^y", "x$y", "a*+", "\\p{L}", "\\xZZ"})
    EXPECT_FALSE(regex_grammar(pattern).ok()) << pattern;
  std::string deep(100'000, '(');
  EXPECT_FALSE(regex_grammar(deep).ok());
}

TEST(JsonSchema, PlainTypes) {
  schema(R"({"type": "string"})", {R"("a")", R"("\n\"\u00e9é")", R"("")"},
         {"a", R"("a)", R"("\x")", "\"\n\"", R"("\ud800")"});
  schema(R"({"type": "integer"})", {"0", "-7", "123"}, {"01", "1.0", "-", "+1", ""});
  schema(R"({"type": "number"})", {"0", "-1.5", "1e10", "2.5E-3"}, {"1.", ".5", "1e", "NaN"});
  schema(R"({"type": ["boolean", "null"]})", {"true", "false", "null"}, {"0", "True"});
  schema(R"({"enum": ["a", 1, null, {"x": [1, 2]}]})", {R"("a")", "1", "null", R"({"x": [1, 2]})"},
         {R"("b")", R"({"x":[1,2]})"});
  schema(R"({"const": "é"})", {R"("é")"}, {R"("e")"});
  schema("true", {"1", R"({"a": [{}, []]})", R"([1, "x", [true]])"},
         {"", "[1,]", R"({"a":1})", "[1,2]"});
  schema("{}", {"null"}, {"nul"});
}

TEST(JsonSchema, Objects) {
  schema(R"({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "boolean"},
      "c": {"type": "null"}}, "required": ["b"]})",
         {R"({"a": 1, "b": true, "c": null})", R"({"b": true})", R"({"b": false, "c": null})",
          R"({"a": 1, "b": true})"},
         {"{}", R"({"a": 1})", R"({"b": true, "a": 1})", R"({"b": true, "d": 1})",
          R"({"a": 1,"b": true})", R"({, "b": true})"});
  schema(R"({"type": "object", "properties": {}, "additionalProperties": false})", {"{}"},
         {R"({"a": 1})"});
  schema(
      R"({"type": "object", "properties": {"a": {"const": 1}}, "additionalProperties": {"type": "integer"}})",
      {"{}", R"({"a": 1})", R"({"a": 1, "z": 2, "y": 3})", R"({"z": 2})"},
      {R"({"z": "x"})", R"({"a": 1, })"});
  schema(R"({"type": "object"})", {"{}", R"({"a": {"b": []}})"}, {"[]"});
  schema(R"({"properties": {"naïve \"x\"": {"type": "null"}}, "required": ["naïve \"x\""]})",
         {R"({"naïve \"x\"": null})"}, {"{}"});
}

// What is declared comes once, as it is declared, however it is spelled.
TEST(JsonSchema, OtherKeysAreNoneOfTheDeclaredOnes) {
  schema(
      R"({"type": "object", "properties": {"a": {"const": 1}, "ab": {"const": 2}, "ä€": {"const": 3},
      "q\"": {"const": 4}, "s\\": {"const": 5}, "n\n": {"const": 6}}, "additionalProperties": {"type": "integer"}})",
      {R"({"a": 1, "abc": 5, "b": 6})", R"({"ab": 2, "": 7, "aa": 8, "A": 9})",
       R"({"ä": 1, "€": 2, "ä€x": 3, "ö€": 4, "äx": 5})", R"({"q": 1, "qq": 2})",
       R"({"a": 1, "ab": 2, "ä€": 3, "q\"": 4, "x": 5})"},
      {R"({"a": 1, "a": 5})", R"({"a": 5})", R"({"x": 5, "a": 1})", R"({"x": 5, "ab": 5})",
       R"({"ä€": 4})", R"({"x": 1, "ä€": 4})", R"({"x": 1, "\u0061": 2})", R"({"x": 1, "q\"": 5})",
       R"({"x\n": 1})", R"({"q"x": 5})", R"({"s\x": 5})", "{\"n\nx\": 5}"});
  schema(R"({"properties": {"": {"const": 1}}, "additionalProperties": true})",
         {R"({"": 1, "x": [2]})", R"({"x": 1})"}, {R"({"": 2})", R"({"x": 1, "": 2})"});
  std::string many;
  for (int i = 0; i < 1000; ++i)
    many += str_cat(i > 0 ? ", " : "", "\"property_number_", i, "\": {\"const\": 1}");
  schema("{\"properties\": {" + many + "}, \"additionalProperties\": {\"const\": 2}}",
         {R"({"property_number_999": 1, "property_number_1000": 2, "property_number_": 2})"},
         {R"({"property_number_999": 2})", R"({"x": 2, "property_number_7": 2})"});
}

TEST(JsonSchema, Arrays) {
  schema(R"({"type": "array", "items": {"type": "integer"}})", {"[]", "[1]", "[1, 2, 3]"},
         {"[1,2]", "[1, ]"});
  schema(R"({"type": "array", "items": {"const": 1}, "minItems": 2, "maxItems": 3})",
         {"[1, 1]", "[1, 1, 1]"}, {"[]", "[1]", "[1, 1, 1, 1]"});
  schema(R"({"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "items": false})",
         {"[1, 2]"}, {"[1]", "[1, 2, 3]"});
  schema(
      R"({"type": "array", "prefixItems": [{"const": 1}], "items": {"const": 2}, "minItems": 2})",
      {"[1, 2]", "[1, 2, 2]"}, {"[1]", "[2, 2]"});
  schema(R"({"type": "array", "maxItems": 0})", {"[]"}, {"[1]"});
}

TEST(JsonSchema, StringsWithConditions) {
  schema(R"({"type": "string", "minLength": 2, "maxLength": 3})",
         {R"("ab")", R"("éé€")", R"("\"\"")"}, {R"("a")", R"("abcd")"});
  schema(R"({"type": "string", "pattern": "^a+$"})", {R"("aaa")"}, {R"("b")", R"("")"});
  schema(R"({"type": "string", "pattern": "b\""})", {R"("ab\"c")"}, {R"("ab")"});
  schema(R"({"type": "string", "format": "date"})", {R"("2024-02-29")"},
         {R"("2024-13-01")", R"("x")"});
  schema(R"({"type": "string", "format": "uuid"})", {R"("123e4567-e89b-12d3-a456-426614174000")"},
         {R"("1")"});
  schema(R"({"type": "string", "format": "color"})", {R"("red")"}, {});
}

TEST(JsonSchema, IntegersBetween) {
  for (const auto& [low, high] : std::vector<std::pair<int64_t, int64_t>>{{0, 0},
                                                                          {0, 9},
                                                                          {5, 5},
                                                                          {1, 10},
                                                                          {7, 123},
                                                                          {99, 1001},
                                                                          {-5, 3},
                                                                          {-123, -7},
                                                                          {-10, 0},
                                                                          {10, 19}}) {
    const std::string text =
        str_cat(R"({"type": "integer", "minimum": )", low, R"(, "maximum": )", high, "}");
    Texts yes, no;
    for (int64_t n = -1200; n <= 1200; ++n)
      (n >= low && n <= high ? yes : no).push_back(std::to_string(n));
    no.push_back("-0");
    schema(text, yes, no);
  }
  schema(R"({"type": "integer", "exclusiveMinimum": 0})", {"1", "123456789"}, {"0", "-1"});
}

TEST(JsonSchema, ReferencesMayGoRound) {
  schema(R"({"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "object", "properties": {
      "value": {"type": "integer"}, "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
      "required": ["value"]}}})",
         {R"({"value": 1})",
          R"({"value": 1, "children": [{"value": 2, "children": []}, {"value": 3}]})"},
         {R"({"children": []})"});
  schema(R"({"anyOf": [{"type": "integer"}, {"type": "array", "items": {"$ref": "#"}}]})",
         {"1", "[[1], 2]"}, {"[x]"});
}

TEST(JsonSchema, HostileOnesAreRefused) {
  for (const char* text : {R"({"$ref": "#"})",
                           R"({"$ref": "#/a", "a": {"$ref": "#/a"}})",
                           R"({"$ref": "http://x/y"})",
                           R"({"$ref": "file:///etc/passwd"})",
                           R"({"$ref": "#/none"})",
                           "false",
                           "5",
                           R"({"type": "array", "minItems": 1000000000})",
                           R"({"type": "string", "maxLength": 1000000000})",
                           R"({"type": "string", "minLength": 3, "maxLength": 2})",
                           R"({"type": "integer", "minimum": 5, "maximum": 4})",
                           R"({"type": "number", "multipleOf": 3})",
                           R"({"type": "object", "patternProperties": {}})",
                           R"({"not": {}})",
                           R"({"type": "king"})",
                           R"({"type": []})",
                           R"({"enum": []})",
                           R"({"type": "object", "required": ["a"], "properties": {}})",
                           R"x({"type": "string", "pattern": "(?=a)"})x",
                           R"({"allOf": [{}, {}]})",
                           R"({"properties": 5})"})
    EXPECT_NE(refused(text), "taken") << text;
  std::string deep;
  for (int i = 0; i < 120; ++i) deep += R"({"type": "array", "items": )";
  deep += "{}" + std::string(120, '}');
  EXPECT_NE(refused(deep), "taken");
  EXPECT_EQ(refused(R"({"type": "string", "pattern": "(a+)+$"})"), "taken");
  std::string many = R"({"enum": ["a")";
  for (int i = 0; i < 100'000; ++i) many += ", \"a\"";
  EXPECT_NE(refused(many + "]}"), "taken");
}

TEST(JsonObject, IsAnyObject) {
  expect(json_object_grammar(), {"{}", R"({"a": 1, "b": [true, null, "x"]})"},
         {"[]", "1", "", "{}{}"}, "any");
}

TEST(Ebnf, WhatMatches) {
  expect(
      ebnf_grammar("root ::= \"yes\" | no  # a comment\nno ::= \"no\" [!?]{1,2} ( \" \" root )?\n"),
      {"yes", "no!", "no?! yes", "no! no! yes"}, {"no", "yes yes", ""}, "yes or no");
  expect(ebnf_grammar("root ::= item+\nitem ::= [^x\\]] 'q' \"\\n\"\n"), {"aq\n", "bq\ncq\n"},
         {"xq\n", "]q\n"}, "items");
  expect(ebnf_grammar("root ::= ( [x]* )*"), {"", "xx"}, {"y"}, "a loop of nothing");
}

TEST(Ebnf, WhatIsRefused) {
  for (const char* text :
       {"", "x ::= \"a\"", "root ::= nobody", "root ::= root \"a\"", "root ::= \"a",
        "root ::= (\"a\"", "%llguidance {}", "root ::= \"a\"\nroot ::= \"b\"", "root ::= [a",
        "root ::= \"a\"{3,2}", "root = \"a\""})
    EXPECT_FALSE(ebnf_grammar(text).ok()) << text;
  EXPECT_FALSE(ebnf_grammar("root ::= \"" + std::string(2 << 20, 'a') + "\"").ok());
}

// What once took the stack, the memory or the thread.
TEST(Hostile, FormsAreRefusedOrFollowed) {
  const auto refuses = [](const Result<Grammar>& made) { return !made.ok(); };
  const auto repeated = [](const std::string& unit, int n) {
    std::string out;
    for (int i = 0; i < n; ++i) out += unit;
    return out;
  };
  EXPECT_TRUE(refuses(regex_grammar("[^\\s\\S]")));
  EXPECT_TRUE(refuses(regex_grammar("\\ud800")));
  EXPECT_TRUE(refuses(regex_grammar("a" + repeated("*", 80'000))));
  EXPECT_TRUE(refuses(regex_grammar("(" + repeated("a|", 500) + "a){20000}")));
  regex("(){2500}b", {"b"}, {"", "a"});
  regex("a(bb[^\\d\\D]|c)", {"ac"}, {"a", "ab", "abb"});
  EXPECT_TRUE(refuses(ebnf_grammar("root ::= \"a\" root")));
  EXPECT_TRUE(refuses(ebnf_grammar("root ::= \"a\"" + repeated("*", 80'000))));
  std::string chain = "root ::= r0 big\nbig ::= (\"a\"?){5000} \"b\"\n";
  for (int i = 0; i < 2000; ++i)
    chain += "r" + std::to_string(i) + " ::= r" + std::to_string(i + 1) + "\n";
  EXPECT_TRUE(ebnf_grammar(chain + "r2000 ::= \"\"\n").ok());
  std::string nested = R"({"type": "string"})";
  for (int i = 0; i < 18; ++i)
    nested = R"({"type": ["object", "object"], "properties": {"a": )" + nested + "}}";
  EXPECT_NE(refused(nested), "taken");
}

TEST(Hostile, AMaskThatTakesTooLongIsCutShort) {
  std::string pattern;
  for (char c = 'a'; c < 'm'; ++c)
    pattern += (c > 'a' ? "|" : "") + std::string("(.?){160}") + c + ".{20}";
  Texts words;
  for (int i = 0; i < 20'000; ++i) words.push_back("w" + std::to_string(i * 7919));
  const TokenTrie trie(words);
  GrammarMatcher matcher(std::make_shared<const Grammar>(regex_grammar(pattern).value()), trie);
  EXPECT_FALSE(matcher.allowed().empty());
}

TEST(Schema, ManyValuesAndTypes) {
  std::string many;
  for (int i = 0; i < 3000; ++i) many += (i > 0 ? ", \"w" : "\"w") + std::to_string(i) + "\"";
  schema("{\"enum\": [" + many + "]}", {"\"w0\"", "\"w2999\"", "\"w29\""}, {"\"w\"", "\"w3000\""});
  schema(R"({"type": ["string", "null"], "maxLength": 2})", {"null", "\"ab\""}, {"\"abc\"", "1"});
  schema(R"({"anyOf": [{"type": "integer"}, {"type": "null"}], "default": null, "title": "X"})",
         {"null", "5"}, {"\"a\""});
  schema(R"({"type": "array", "items": false})", {"[]"}, {"[1]"});
  for (const char* text :
       {R"({"type": "object", "properties": {"a": {}}, "anyOf": [{"type": "object"}]})",
        R"({"type": ["number", "null"], "minimum": 0})",
        R"({"type": ["array", "null"], "items": {"type": "integer"}, "uniqueItems": true})",
        R"({"prefixItems": [{"type": "integer"}], "items": false, "minItems": 3})",
        R"({"type": "integer", "exclusiveMinimum": 9223372036854775807})",
        R"({"type": "integer", "exclusiveMaximum": -9223372036854775808})"})
    EXPECT_NE(refused(text), "taken") << text;
}

// Free, then digits behind the opener, then free again; within reasoning the opener is a word.
TEST(Constraint, IsOpenedByATokenAgainAndAgain) {
  const Texts words = {"a", "1", "</think>", "\xff<open>"};
  const TokenTrie trie(words);
  const auto grammar = std::make_shared<const Grammar>(regex_grammar("1{2}").value());
  constexpr int32_t kA = 0, kOne = 1, kEnd = 2, kOpen = 3, kStop = 4;
  Constraint constraint(grammar, trie, 5, /*after_reasoning=*/true, kOpen);
  const auto accept = [&](int32_t token) {
    constraint.accept(token, words[static_cast<size_t>(token)]);
  };
  const std::vector<int32_t> stops = {kStop};
  EXPECT_FALSE(constraint.decides_end());
  for (const int32_t token : {kA, kOpen, kA, kEnd, kA}) {
    EXPECT_TRUE(constraint.allowed(stops).empty());
    accept(token);
  }
  for (int round = 0; round < 2; ++round) {
    EXPECT_TRUE(constraint.allowed(stops).empty());
    accept(kOpen);
    for (int i = 0; i < 2; ++i) {
      ASSERT_EQ(constraint.allowed(stops).size(), 1u);
      EXPECT_EQ(constraint.allowed(stops)[0], uint64_t{1} << kOne);
      accept(kOne);
    }
    EXPECT_TRUE(constraint.allowed(stops).empty());
    EXPECT_FALSE(constraint.is_complete());
    accept(kA);
  }
}

}  // namespace
}  // namespace fathom
