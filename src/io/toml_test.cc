// Goal: configurations are read with their lines, and written so that they read back. Method: small
// documents, also broken ones.
#include "io/toml.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

constexpr std::string_view kText = R"(# a comment
name = "tiny \"run\" é"
steps = 100
rate = 3e-4
whole = 2.0
on = true

[data]
sources = [{ path = "a", weight = 2 }, { path = "b", weight = 0.5 }]

[model.inline]
control = "\u0001\u007f\t"
"odd key" = [1, 2, 3]
)";

TEST(Toml, ValuesHaveTypesAndLines) {
  const auto toml = parse_toml(kText, "run.toml");
  ASSERT_TRUE(toml.ok()) << toml.error().message;
  EXPECT_EQ(toml->find("name")->text, "tiny \"run\" é");
  EXPECT_EQ(toml->find("steps")->integer, 100);
  EXPECT_EQ(toml->find("steps")->line, 3);
  EXPECT_EQ(toml->find("rate")->number, 3e-4);
  EXPECT_TRUE(toml->find("on")->boolean);
  const TomlValue* sources = toml->find("data")->find("sources");
  ASSERT_EQ(sources->items.size(), 2u);
  EXPECT_EQ(sources->items[1].find("weight")->number, 0.5);
  EXPECT_EQ(sources->items[1].line, 9);
  EXPECT_EQ(toml->find("nothing"), nullptr);
}

TEST(Toml, WrittenDocumentsReadBack) {
  const auto toml = parse_toml(kText, "run.toml");
  ASSERT_TRUE(toml.ok());
  const std::string text = dump_toml(*toml);
  const auto again = parse_toml(text, "again.toml");
  ASSERT_TRUE(again.ok()) << again.error().message << "\n" << text;
  EXPECT_EQ(dump_toml(*again), text);
  EXPECT_EQ(toml_to_json(*again).dump(), toml_to_json(*toml).dump());
  EXPECT_EQ(again->find("whole")->type, TomlValue::Type::kDouble);
}

TEST(Toml, ErrorsNameFileAndLine) {
  const auto broken = parse_toml("a = 1\nb = = 2\n", "run.toml");
  ASSERT_FALSE(broken.ok());
  EXPECT_TRUE(broken.error().message.starts_with("run.toml:2: ")) << broken.error().message;
  EXPECT_FALSE(parse_toml("a = 1\na = 2\n", "run.toml").ok());
  EXPECT_EQ(parse_toml("a = 1\nb = 2024-12-26\n", "run.toml").error().message,
            "run.toml:2: dates and times have no meaning here");
  EXPECT_FALSE(parse_toml("a = 1\n[\nb]\n", "run.toml").ok());
  EXPECT_FALSE(parse_toml("a = { b = 1\u8a9e }\n", "run.toml").ok());
  EXPECT_FALSE(parse_toml("a = \"\xff\"\n", "run.toml").ok());
  EXPECT_FALSE(parse_toml("a = " + std::string(100'000, '['), "run.toml").ok());
}

TEST(Toml, SetTakesDottedPathsAndPlainStrings) {
  TomlValue table = *parse_toml(kText, "run.toml");
  ASSERT_TRUE(table.set("optimizer.clip", parse_toml_value("0.5")).ok());
  ASSERT_TRUE(table.set("steps", parse_toml_value("7")).ok());
  ASSERT_TRUE(table.set("name", parse_toml_value("runs/other dir")).ok());
  EXPECT_EQ(table.find("optimizer")->find("clip")->number, 0.5);
  EXPECT_EQ(table.find("steps")->integer, 7);
  EXPECT_EQ(table.find("name")->text, "runs/other dir");
  EXPECT_FALSE(table.set("steps.more", parse_toml_value("1")).ok());
  EXPECT_FALSE(table.set("data..x", parse_toml_value("1")).ok());
  EXPECT_EQ(parse_toml_value("1\nb = 2").type, TomlValue::Type::kString);
}

}  // namespace
}  // namespace fathom
