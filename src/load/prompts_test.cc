// Goal: a load follows from its seed, and has the lengths and shared beginnings that were asked
// for. Method: prompts and arrivals made twice, counted, and compared with each other.
#include "load/prompts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "load/arrivals.h"
#include "load/measurement.h"

namespace fathom {
namespace {

int64_t n_words(const std::string& text) {
  return text.empty() ? 0 : 1 + std::count(text.begin(), text.end(), ' ');
}

size_t shared(const std::string& a, const std::string& b) {
  size_t n = 0;
  while (n < std::min(a.size(), b.size()) && a[n] == b[n]) ++n;
  return n;
}

TEST(LoadPrompts, HaveTheLengthAskedForAndFollowFromTheSeed) {
  PromptShape shape;
  shape.prompt = {50, 150};
  const SyntheticPrompts prompts(shape, {.per_word = 1.25, .overhead = 10});
  std::set<std::string> all;
  int64_t low = 1000, high = 0;
  for (int64_t i = 0; i < 300; ++i) {
    const std::string text = prompts.text(i);
    EXPECT_EQ(text, SyntheticPrompts(shape, {.per_word = 1.25, .overhead = 10}).text(i));
    EXPECT_EQ(text.find("  "), std::string::npos);
    all.insert(text);
    low = std::min(low, n_words(text));
    high = std::max(high, n_words(text));
  }
  EXPECT_EQ(all.size(), 300u);
  EXPECT_GE(low, 32);  // (50 - 10) / 1.25
  EXPECT_LE(low, 36);
  EXPECT_LE(high, 112);
  EXPECT_GE(high, 108);
  PromptShape other = shape;
  other.seed = 2;
  EXPECT_NE(SyntheticPrompts(other, {}).text(0), SyntheticPrompts(shape, {}).text(0));
}

TEST(LoadPrompts, AGroupSharesItsPrefixAndNothingElse) {
  PromptShape shape;
  shape.prefix_tokens = 100;
  shape.prefix_groups = 3;
  const SyntheticPrompts prompts(shape, {.per_word = 1, .overhead = 0});
  const std::string prefix = prompts.text(0).substr(0, shared(prompts.text(0), prompts.text(3)));
  EXPECT_GE(n_words(prefix), 100);
  EXPECT_LE(n_words(prefix), 103);  // a word or two may agree by chance
  EXPECT_LT(shared(prompts.text(0), prompts.text(1)), 20u);
  EXPECT_EQ(n_words(prompts.text(0)), 228);
}

TEST(LoadPrompts, NoWordStandsTwiceInTheList) {
  EXPECT_EQ(n_words(every_word()), n_every_word());
  std::set<std::string> words;
  std::string word;
  for (const char c : every_word() + " ") {
    if (c != ' ') {
      word += c;
    } else {
      EXPECT_TRUE(words.insert(word).second) << word;
      word.clear();
    }
  }
}

TEST(LoadPrompts, TooShortIsOneWord) {
  PromptShape shape;
  shape.prompt = {1, 1};
  EXPECT_EQ(n_words(SyntheticPrompts(shape, {.per_word = 1, .overhead = 20}).text(0)), 1);
}

TEST(LoadPrompts, AnswersHaveLengthsOfTheirOwn) {
  PromptShape shape;
  shape.answer = {3, 5};
  std::set<int64_t> lengths;
  for (int64_t i = 0; i < 100; ++i) lengths.insert(SyntheticPrompts(shape, {}).answer_tokens(i));
  EXPECT_EQ(lengths, (std::set<int64_t>{3, 4, 5}));
}

TEST(LoadArrivals, FollowFromTheSeedAndKeepTheRate) {
  PoissonArrivals a(50, 7), again(50, 7), other(50, 8);
  double last = 0, squares = 0;
  bool differs = false;
  constexpr int kN = 20000;
  for (int i = 0; i < kN; ++i) {
    const double at = a.next();
    EXPECT_EQ(at, again.next());
    differs = differs || at != other.next();
    ASSERT_GE(at, last);
    squares += (at - last) * (at - last);
    last = at;
  }
  EXPECT_TRUE(differs);
  // The mean of n gaps deviates by 1 / sqrt(n) of itself, their squares' by sqrt(5 / n); 5 of each.
  EXPECT_NEAR(kN / last, 50, 50 * 5 / 141.0);
  EXPECT_NEAR(squares / kN, 2.0 / 2500, 2.0 / 2500 * 5 * 2.24 / 141.0);
}

TEST(LoadArrivals, WholeNumbersReachBothEnds) {
  std::set<int64_t> values;
  for (uint64_t i = 0; i < 200; ++i) values.insert(whole_number_between(3, i, -1, 1));
  EXPECT_EQ(values, (std::set<int64_t>{-1, 0, 1}));
}

// With check each prompt stands between others when it comes again.
TEST(LoadArrivals, PromptsComeAgainBackwards) {
  const auto order = [](int64_t n, bool check) {
    std::vector<int64_t> out;
    for (int64_t i = 0; i < 7; ++i) out.push_back(prompt_of_request(i, n, check));
    return out;
  };
  EXPECT_EQ(order(3, true), (std::vector<int64_t>{0, 1, 2, 2, 1, 0, 0}));
  EXPECT_EQ(order(3, false), (std::vector<int64_t>{0, 1, 2, 0, 1, 2, 0}));
  EXPECT_EQ(order(0, false), (std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6}));
}

}  // namespace
}  // namespace fathom
