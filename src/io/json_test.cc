#include "io/json.h"

#include <gtest/gtest.h>

#include <string>

namespace fathom {
namespace {

TEST(Json, RoundTripsEveryKindOfValue) {
  const std::string text =
      R"({"a":[1,-2,18446744073709551615,0.5,1e+30,true,false,null],"b":{"c":"x\n\"\u0001é😀"}})";
  const auto json = parse_json(text);
  ASSERT_TRUE(json.ok()) << json.error().message;
  EXPECT_EQ(parse_json(json->dump())->dump(), json->dump());
  EXPECT_EQ(parse_json(json->dump_pretty())->dump(), json->dump());
  EXPECT_TRUE(json->find("a")->as_array()[0].is_int());
  EXPECT_FALSE(json->find("a")->as_array()[3].is_int());
}

TEST(Json, FloatsReadBackAsTheSameF32) {
  for (float value : {0.1f, 1e-45f, 3.4028235e38f, -1.17549435e-38f, 16777216.0f}) {
    const auto back = parse_json(Json(value).dump());
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(static_cast<float>(back->as_double()), value);
  }
}

TEST(Json, BadTextIsAnErrorThatSaysWhere) {
  for (const char* text : {"", "{", "[1,]", "{\"a\":1} x", "\"\xff\"", "\"\\ud800\"", "1e400",
                           "NaN", "{\"a\":1,\"a\":2}"}) {
    EXPECT_FALSE(parse_json(text).ok()) << text;
  }
  EXPECT_NE(parse_json("[1,]").error().message.find("byte"), std::string::npos);
  EXPECT_FALSE(parse_json(std::string(100000, '[')).ok());
}

TEST(Json, TextThatIsNotUtf8IsReplacedWhenWritten) {
  EXPECT_EQ(Json("a\xff").dump(), "\"a\xef\xbf\xbd\"");
}

}  // namespace
}  // namespace fathom
