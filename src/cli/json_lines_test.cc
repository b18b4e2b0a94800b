// Goal: every line is seen once, numbered over all files, whatever ends it; no line can use
// unbounded memory.
#include "cli/json_lines.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>

namespace fathom::cli {
namespace {

class LineReaderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = std::filesystem::path(::testing::TempDir()) / str_cat("fathom_lines_", info->name());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string file(const std::string& name, const std::string& text) {
    const std::string path = folder_ / name;
    std::FILE* out = std::fopen(path.c_str(), "wb");
    EXPECT_EQ(std::fwrite(text.data(), 1, text.size(), out), text.size());
    std::fclose(out);
    return path;
  }
  static std::vector<InputLine> all(const std::vector<std::string>& files,
                                    int64_t line_bytes_max = kLineBytesMax) {
    Result<LineReader> reader = LineReader::open(files, line_bytes_max);
    EXPECT_TRUE(reader.ok());
    std::vector<InputLine> lines;
    while (true) {
      auto line = reader->next();
      EXPECT_TRUE(line.ok());
      if (!line.value().has_value()) return lines;
      lines.push_back(*line.value());
    }
  }

  std::filesystem::path folder_;
};

TEST_F(LineReaderTest, NumbersLinesOverAllFilesAndCountsBlankOnes) {
  const std::string a = file("a", "\xef\xbb\xbf{}\r\n\n  \n[1]");
  const std::string empty = file("b", "");
  const std::string c = file("c", "2\n");
  const auto lines = all({a, empty, c});
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0].text, "{}");
  EXPECT_EQ(lines[0].index, 0);
  EXPECT_EQ(lines[1].text, "[1]");
  EXPECT_EQ(lines[1].index, 3);
  EXPECT_EQ(lines[1].where, a + ", line 4");
  EXPECT_EQ(lines[2].index, 4);
  EXPECT_EQ(lines[2].where, c + ", line 1");
}

TEST_F(LineReaderTest, LinesLongerThanABufferAreWhole) {
  const std::string text(1'000'000, 'x');
  const auto lines = all({file("a", text + "\n" + text + "y")});
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].text, text);
  EXPECT_EQ(lines[1].text, text + "y");
}

TEST_F(LineReaderTest, ALineBeyondTheLimitIsReadOverAndSaysSo) {
  const auto lines = all({file("a", "12345\n123456\n1\n")}, 5);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_FALSE(lines[0].too_long);
  EXPECT_TRUE(lines[1].too_long);
  EXPECT_EQ(lines[1].text, "");
  EXPECT_NE(lines[1].json().error().message.find("line 2"), std::string::npos);
  EXPECT_EQ(lines[2].text, "1");
}

TEST_F(LineReaderTest, ErrorsNameTheFileAndTheLine) {
  const auto missing = LineReader::open({file("a", "1"), folder_ / "none"});
  ASSERT_FALSE(missing.ok());
  EXPECT_NE(missing.error().message.find("none"), std::string::npos);
  const auto folder = LineReader::open({folder_});
  ASSERT_FALSE(folder.ok());
  EXPECT_NE(folder.error().message.find("is a folder"), std::string::npos);
  const auto lines = all({file("b", "1\n{\n")});
  EXPECT_TRUE(lines[0].json().ok());
  ASSERT_FALSE(lines[1].json().ok());
  EXPECT_NE(lines[1].json().error().message.find("b, line 2: "), std::string::npos);
}

TEST_F(LineReaderTest, ReadAllHasALimit) {
  EXPECT_EQ(read_all(file("a", "12345"), 5).value(), "12345");
  EXPECT_FALSE(read_all(file("a", "123456"), 5).ok());
}

TEST_F(LineReaderTest, ATextIsUtf8WithoutAByteOrderMark) {
  EXPECT_EQ(*read_text(file("mark", "\xef\xbb\xbfwords"), 100), "words");
  const auto bad = read_text(file("latin", "na\xefve"), 100);
  ASSERT_FALSE(bad.ok());
  EXPECT_NE(bad.error().message.find("latin is not UTF-8 at byte 2"), std::string::npos)
      << bad.error().message;
}

}  // namespace
}  // namespace fathom::cli
