// Goal: what people write is read as they mean it, and the rest is refused. Method: examples of
// both.
#include "load/values.h"

#include <gtest/gtest.h>

#include "load/url.h"

namespace fathom {
namespace {

TEST(LoadValues, RangesOfTokens) {
  EXPECT_EQ(parse_token_range("128")->low, 128);
  EXPECT_EQ(parse_token_range("128")->high, 128);
  EXPECT_EQ(parse_token_range("64-256")->low, 64);
  EXPECT_EQ(parse_token_range("64-256")->high, 256);
  EXPECT_EQ(parse_token_range("1000000")->high, kLoadTokensMax);
  for (const char* bad : {"", "0", "-1", "9-", "-9", "9-3", "1000001", "1.5", "a", "1-2-3", " 1"}) {
    const auto range = parse_token_range(bad);
    ASSERT_FALSE(range.ok()) << bad;
    EXPECT_EQ(range.error().code, ErrorCode::kUsage);
  }
}

TEST(LoadValues, Durations) {
  EXPECT_EQ(*parse_duration("30s"), 30);
  EXPECT_EQ(*parse_duration("30"), 30);
  EXPECT_EQ(*parse_duration("1.5m"), 90);
  EXPECT_EQ(*parse_duration("1h"), 3600);
  EXPECT_DOUBLE_EQ(*parse_duration("500ms"), 0.5);
  for (const char* bad : {"", "0", "-3s", "s", "3 s", "3d", "25h", "inf", "nan", "1e3s"})
    EXPECT_FALSE(parse_duration(bad).ok()) << bad;
}

TEST(LoadValues, NumbersAreShortAndNeverEndless) {
  EXPECT_EQ(short_number(1.234), "1.23");
  EXPECT_EQ(short_number(12.34), "12.3");
  EXPECT_EQ(short_number(1234.5), "1234");
  EXPECT_EQ(fixed_digits(2.5, 0), "2");
  EXPECT_EQ(fixed_digits(1e300, 2), "-");
  EXPECT_EQ(fixed_digits(0.0 / 0.0, 2), "-");
}

TEST(LoadUrl, WhatClientsAreGiven) {
  const auto url = [](const char* text) {
    const Result<Url> parsed = parse_url(text);
    return parsed.ok() ? parsed->origin() + " " + parsed->base : parsed.error().message;
  };
  EXPECT_EQ(url("http://127.0.0.1:8080"), "http://127.0.0.1:8080 /v1");
  EXPECT_EQ(url("http://127.0.0.1:8080/"), "http://127.0.0.1:8080 /v1");
  EXPECT_EQ(url("localhost:8080"), "http://localhost:8080 /v1");
  EXPECT_EQ(url("https://example.org/openai/v1/"), "https://example.org /openai/v1");
  EXPECT_EQ(url("https://example.org:443"), "https://example.org /v1");
  EXPECT_EQ(url("http://example.org:443"), "http://example.org:443 /v1");
  EXPECT_EQ(url("http://[::1]:8080/v1"), "http://[::1]:8080 /v1");
  EXPECT_EQ(parse_url("http://[::1]:8080")->host, "::1");
}

TEST(LoadUrl, RefusesWhatIsNone) {
  for (const char* bad :
       {"", "http://", "ftp://example.org", "http://:80", "http://a:0", "http://a:65536",
        "http://a:b", "http://a:", "http://[::1", "http://[::1]x", "http://u:p@a", "http://a/?q",
        "http://a\r\nX: y", "http://a b", "http://a/#x"}) {
    const Result<Url> url = parse_url(bad);
    ASSERT_FALSE(url.ok()) << bad;
    EXPECT_EQ(url.error().code, ErrorCode::kUsage);
  }
}

}  // namespace
}  // namespace fathom
