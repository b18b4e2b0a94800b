// Goal: what a grammar allows is exactly what it says, byte by byte and token by token, in bounded
// memory. Method: small grammars against lists of texts; tokens against trying each one.
#include "engine/grammar.h"

#include <gtest/gtest.h>

#include <random>

#include "engine/grammar_matcher.h"
#include "engine/token_trie.h"

namespace fathom {
namespace {

const TokenTrie& no_tokens() {
  static const TokenTrie trie(std::vector<std::string>{"a"});
  return trie;
}

bool matches(const std::shared_ptr<const Grammar>& grammar, std::string_view text) {
  GrammarMatcher matcher(grammar, no_tokens());
  return matcher.accept_bytes(text) && matcher.may_end();
}

std::shared_ptr<const Grammar> finished(GrammarBuilder& builder, GrammarBuilder::Expr body) {
  const int32_t root = builder.declare_rule();
  builder.define_rule(root, body);
  Result<Grammar> grammar = builder.finish(root);
  EXPECT_TRUE(grammar.ok()) << grammar.error().message;
  return std::make_shared<const Grammar>(std::move(grammar).value());
}

TEST(Grammar, TextsChoicesAndRepetitions) {
  GrammarBuilder b;
  const auto grammar = finished(
      b, b.sequence({b.choice({b.text("ab"), b.text("a"), b.empty()}), b.repeat(b.text("x"), 1, 3),
                     b.repeat(b.choice({b.text("y"), b.text("z")}), 0, -1)}));
  for (const char* yes : {"x", "ax", "abx", "abxxx", "axyzzy"})
    EXPECT_TRUE(matches(grammar, yes)) << yes;
  for (const char* no : {"", "a", "xxxx", "abxyx", "bx"}) EXPECT_FALSE(matches(grammar, no)) << no;
}

TEST(Grammar, EveryCharacterByItsBytes) {
  const std::vector<CodeRange> ranges = {
      {0x41, 0x5a}, {0x7f, 0x801}, {0xd000, 0x10005}, {0x10fff0, 0x10ffff}};
  GrammarBuilder b, n;
  const auto in = finished(b, b.characters(ranges)), out = finished(n, n.characters(ranges, true));
  const auto utf8 = [](uint32_t c) {
    std::string s;
    if (c < 0x80) return std::string(1, static_cast<char>(c));
    if (c < 0x800) {
      s += static_cast<char>(0xc0 | c >> 6);
    } else if (c < 0x10000) {
      s += static_cast<char>(0xe0 | c >> 12);
      s += static_cast<char>(0x80 | (c >> 6 & 63));
    } else {
      s += static_cast<char>(0xf0 | c >> 18);
      s += static_cast<char>(0x80 | (c >> 12 & 63));
      s += static_cast<char>(0x80 | (c >> 6 & 63));
    }
    s += static_cast<char>(0x80 | (c & 63));
    return s;
  };
  for (uint32_t c = 0; c <= 0x10ffff; c += c < 0x3000 ? 1 : 13) {
    const bool surrogate = c >= 0xd800 && c <= 0xdfff;
    bool inside = false;
    for (const CodeRange& r : ranges) inside = inside || (c >= r.first && c <= r.last);
    EXPECT_EQ(matches(in, utf8(c)), inside && !surrogate) << c;
    EXPECT_EQ(matches(out, utf8(c)), !inside && !surrogate) << c;
  }
  EXPECT_FALSE(matches(out, "\xff"));
  EXPECT_FALSE(matches(out, "\xc0\x80"));  // not the shortest form
}

// Brackets in brackets: beyond any automaton.
std::shared_ptr<const Grammar> brackets() {
  GrammarBuilder b;
  const int32_t value = b.declare_rule();
  b.define_rule(value,
                b.choice({b.text("x"),
                          b.sequence({b.text("["), b.repeat(b.call(value), 0, -1), b.text("]")})}));
  Result<Grammar> grammar = b.finish(value);
  EXPECT_TRUE(grammar.ok());
  return std::make_shared<const Grammar>(std::move(grammar).value());
}

TEST(Grammar, RulesNestWithoutBound) {
  const auto grammar = brackets();
  for (const char* yes : {"x", "[]", "[x[x[]]x]"}) EXPECT_TRUE(matches(grammar, yes)) << yes;
  for (const char* no : {"", "[", "]", "[x]]", "xx"}) EXPECT_FALSE(matches(grammar, no)) << no;
  const std::string deep = std::string(5000, '[') + std::string(5000, ']');
  EXPECT_TRUE(matches(grammar, deep));
  EXPECT_FALSE(matches(grammar, deep + "]"));
}

TEST(Grammar, RulesAtTheEndOfRulesStayFlat) {
  GrammarBuilder b;
  const int32_t list = b.declare_rule();
  b.define_rule(list, b.choice({b.empty(), b.sequence({b.text("a"), b.call(list)})}));
  Result<Grammar> grammar = b.finish(list);
  ASSERT_TRUE(grammar.ok());
  EXPECT_TRUE(matches(std::make_shared<const Grammar>(std::move(grammar).value()),
                      std::string(20'000, 'a')));
}

TEST(Grammar, HostileOnesAreRefused) {
  {
    GrammarBuilder b;
    const int32_t rule = b.declare_rule();
    b.define_rule(rule, b.sequence({b.repeat(b.text("x"), 0, 1), b.call(rule)}));
    EXPECT_FALSE(b.finish(rule).ok());
  }
  {
    GrammarBuilder b;  // through another rule that may be empty
    const int32_t a = b.declare_rule(), c = b.declare_rule(), e = b.declare_rule();
    b.define_rule(a, b.sequence({b.call(e), b.call(c)}));
    b.define_rule(c, b.choice({b.text("x"), b.call(a)}));
    b.define_rule(e, b.empty());
    EXPECT_FALSE(b.finish(a).ok());
  }
  {
    GrammarBuilder b;
    const int32_t rule = b.declare_rule();
    b.define_rule(rule, b.repeat(b.repeat(b.text("a"), 1000, 1000), 1000, 1000));
    EXPECT_FALSE(b.finish(rule).ok());
  }
  {
    GrammarBuilder b;
    EXPECT_FALSE(b.finish(b.declare_rule()).ok());
  }
}

TEST(Grammar, NestedRepetitionsAreLinear) {
  GrammarBuilder b;
  const auto part = b.repeat(b.repeat(b.text("a"), 0, -1), 0, -1);
  const auto grammar = finished(b, b.sequence({b.repeat(part, 0, -1), b.text("b")}));
  EXPECT_TRUE(matches(grammar, std::string(50'000, 'a') + "b"));
  EXPECT_FALSE(matches(grammar, std::string(50'000, 'a') + "c"));
}

TEST(GrammarMatcher, TokensAreThoseThatMayCome) {
  const std::vector<std::string> texts = {"x", "[", "]", "[]", "[[", "]]",  "x]", "[x",
                                          "y", "",  "x", "]x", "][", "[x]", "[]]"};
  const TokenTrie trie(texts);
  std::mt19937 random(3);
  for (int round = 0; round < 50; ++round) {
    GrammarMatcher matcher(brackets(), trie);
    for (int i = 0; i < 30; ++i) {
      const std::vector<uint64_t> words(matcher.allowed().begin(), matcher.allowed().end());
      std::vector<int32_t> may;
      for (int32_t token = 0; token < trie.vocab_size(); ++token) {
        GrammarMatcher copy = matcher;
        const bool allowed = (words[static_cast<size_t>(token / 64)] >> (token % 64) & 1) != 0;
        EXPECT_EQ(copy.accept(token), allowed) << token;
        if (allowed) may.push_back(token);
      }
      EXPECT_EQ(may.empty(), matcher.is_complete());
      if (may.empty()) break;
      EXPECT_TRUE(matcher.accept(may[random() % may.size()]));
    }
  }
}

TEST(GrammarMatcher, ForgettingChangesNothing) {
  // More sets than are kept: each depth is one.
  const std::vector<std::string> texts = {"[", "]", "x"};
  const TokenTrie trie(texts);
  GrammarMatcher matcher(brackets(), trie);
  for (int i = 0; i < 9000; ++i) {
    ASSERT_EQ(matcher.allowed()[0], i == 0 ? 5u : 7u) << i;
    ASSERT_TRUE(matcher.accept(0));
  }
  for (int i = 0; i < 9000; ++i) {
    ASSERT_FALSE(matcher.may_end());
    ASSERT_TRUE(matcher.accept(1)) << i;
  }
  EXPECT_TRUE(matcher.is_complete());
}

}  // namespace
}  // namespace fathom
