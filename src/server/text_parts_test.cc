// Goal: content is read alike wherever it stands. Method: every shape of it, and what is wrong by
// name.
#include "server/text_parts.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

Json content(const std::string& value) {
  Result<Json> parsed = parse_json("{\"content\": " + value + "}");
  EXPECT_TRUE(parsed.ok()) << value;
  return std::move(parsed).value();
}

TEST(TextParts, AreJoined) {
  for (const auto& [value, text] : std::vector<std::pair<std::string, std::string>>{
           {"\"ab\"", "ab"},
           {"null", ""},
           {"[]", ""},
           {R"([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])", "ab"},
           {R"([{"type": "input_text", "text": "a"}, {"type": "output_text", "text": "b"},
               {"type": "refusal", "refusal": "c"}])",
            "abc"}}) {
    const Json json = content(value);
    ApiFields fields(json);
    EXPECT_EQ(read_text_or_parts(fields, "content"), text) << value;
    EXPECT_TRUE(fields.ok()) << value;
  }
}

TEST(TextParts, WhatIsWrongIsNamed) {
  for (const auto& [value, param] : std::vector<std::pair<std::string, std::string>>{
           {"5", "m.content"},
           {"{}", "m.content"},
           {"[5]", "m.content[0]"},
           {"[{}]", "m.content[0].type"},
           {R"([{"type": "text", "text": "a"}, {"type": "image_url"}])", "m.content[1].type"},
           {R"([{"type": "text"}])", "m.content[0].text"},
           {R"([{"type": "text", "text": 5}])", "m.content[0].text"},
           {R"([{"type": "refusal", "text": "a"}])", "m.content[0].refusal"}}) {
    const Json json = content(value);
    ApiFields fields(json, "m.");
    read_text_or_parts(fields, "content");
    ASSERT_FALSE(fields.ok()) << value;
    EXPECT_EQ(fields.error()->param, param);
  }
}

TEST(TextParts, OthersMayBeTaken) {
  const Json json = content(R"([{"type": "a"}, {"type": "text", "text": "b"}, {"type": "c"}])");
  ApiFields fields(json);
  std::string seen;
  const std::string text =
      read_text_or_parts(fields, "content", [&](std::string_view type, const Json&, ApiFields&) {
        seen += type;
        return type == "a";
      });
  EXPECT_EQ(text, "b");
  EXPECT_EQ(seen, "ac");
  EXPECT_EQ(fields.error()->param, "content[2].type");
}

}  // namespace
}  // namespace fathom
