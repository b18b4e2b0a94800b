// Goal: the same events, however the bytes arrive. Method: streams with every kind of line, cut at
// every byte, and one byte at a time.
#include "load/sse.h"

#include <gtest/gtest.h>

#include <vector>

namespace fathom {
namespace {

struct Parsed {
  std::vector<std::string> events;
  bool well = true;
};

Parsed parse(const std::vector<std::string_view>& pieces, int64_t bytes_max = kSseBytesMax) {
  Parsed out;
  SseParser parser(bytes_max);
  const auto on_event = [&](std::string_view data) {
    out.events.emplace_back(data);
    return true;
  };
  for (const std::string_view piece : pieces) out.well = out.well && parser.feed(piece, on_event);
  out.well = out.well && parser.finish(on_event);
  return out;
}

const std::vector<std::string> kEvents = {"{\"a\": 1}", "two\nlines", "no blank", "", "[DONE]"};

std::string stream_with(const std::string& end) {
  return ": a comment" + end + end + "data: {\"a\": 1}" + end + "id: 7" + end + end +
         "event: message" + end + "data: two" + end + "data: lines" + end + end + end +
         "data:no blank" + end + end + "data" + end + end + "unknown" + end + ":" + end +
         "data: [DONE]" + end + end;
}

TEST(Sse, EveryEndOfLineCutAtEveryByte) {
  for (const char* end : {"\n", "\r\n", "\r"}) {
    const std::string stream = stream_with(end);
    for (size_t cut = 0; cut <= stream.size(); ++cut) {
      const std::string_view all = stream;
      EXPECT_EQ(parse({all.substr(0, cut), all.substr(cut)}).events, kEvents) << cut;
    }
    std::vector<std::string_view> bytes;
    for (size_t i = 0; i < stream.size(); ++i)
      bytes.push_back(std::string_view(stream).substr(i, 1));
    EXPECT_EQ(parse(bytes).events, kEvents);
  }
}

TEST(Sse, AByteOrderMarkIsDroppedAtTheBeginningOnly) {
  EXPECT_EQ(parse({"\xef\xbb\xbf", "data: a\n\n\xef\xbb\xbf", "data: b\n\ndata: c\n\n"}).events,
            (std::vector<std::string>{"a", "c"}));
}

TEST(Sse, AnEventWithoutItsBlankLineCountsAtTheEnd) {
  EXPECT_EQ(parse({"data: a\n"}).events, std::vector<std::string>{"a"});
  EXPECT_EQ(parse({"data: a"}).events, std::vector<std::string>{"a"});
  EXPECT_TRUE(parse({""}).events.empty());
}

TEST(Sse, LinesAndEventsHaveALimit) {
  EXPECT_FALSE(parse({"data: 0123456789"}, 12).well);
  EXPECT_FALSE(parse({"data: 0123\ndata: 4567\ndata: 89ab\n\n"}, 12).well);
  EXPECT_TRUE(parse({"data: 0123\n\ndata: 4567\n\n"}, 12).well);
}

TEST(Sse, AReceiverEndsIt) {
  SseParser parser;
  int n = 0;
  EXPECT_FALSE(
      parser.feed("data: 1\n\ndata: 2\n\ndata: 3\n\n", [&](std::string_view) { return ++n < 2; }));
  EXPECT_EQ(n, 2);
}

}  // namespace
}  // namespace fathom
