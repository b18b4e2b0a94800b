// Goal: a stop string is found wherever pieces of text are cut, and nothing of it is shown before
// it is certain.
#include "engine/stop_matcher.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

std::string feed(const std::string& text, const std::vector<std::string>& stops, size_t piece,
                 bool* stopped) {
  StopMatcher matcher(stops);
  std::string out;
  for (size_t i = 0; i < text.size(); i += piece)
    out += matcher.push(std::string_view(text).substr(i, piece));
  *stopped = matcher.stopped();
  return out + matcher.finish();
}

TEST(StopMatcher, FindsStopsHoweverTheTextIsCut) {
  struct Case {
    std::string text;
    std::vector<std::string> stops;
    std::string expected;
    bool stopped;
  };
  const Case cases[] = {
      {"hello world", {"wor"}, "hello ", true},
      {"hello world", {"xyz"}, "hello world", false},
      {"aaab", {"aab"}, "a", true},
      {"ab", {"abc"}, "ab", false},
      {"one\n\ntwo", {"\n\n", "two"}, "one", true},
      {"one\ntwo", {"two", "e"}, "on", true},
      {"stop", {"stop"}, "", true},
      {"text", {}, "text", false},
  };
  for (const auto& c : cases) {
    for (size_t piece : {1u, 2u, 3u, 100u}) {
      bool stopped = false;
      EXPECT_EQ(feed(c.text, c.stops, piece, &stopped), c.expected) << c.text << ' ' << piece;
      EXPECT_EQ(stopped, c.stopped) << c.text;
    }
  }
}

TEST(StopMatcher, HoldsBackOnlyWhatCouldBeAStop) {
  StopMatcher matcher({"END"});
  EXPECT_EQ(matcher.push("abE"), "ab");
  EXPECT_EQ(matcher.push("N"), "");
  EXPECT_EQ(matcher.push("x"), "ENx");
  EXPECT_EQ(matcher.push("EN"), "");
  EXPECT_EQ(matcher.finish(), "EN");
}

TEST(StopMatcher, SaysWhichWasFound) {
  StopMatcher matcher({"end", "an en"});
  matcher.push("it has an ");
  EXPECT_EQ(matcher.found(), "");
  matcher.push("end");
  EXPECT_EQ(matcher.found(), "an en");  // the one that begins first
}

}  // namespace
}  // namespace fathom
