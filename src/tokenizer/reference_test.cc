// Goal: the ids and texts of the reference implementation, on every line it left. Method:
// testdata/tokenizer holds a sample of all kinds of lines; where the full sets are there, they are
// used as well.
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/tokenizers.h"
#include "tests/support/xz.h"
#include "tokenizer/stream_decoder.h"

namespace fathom {
namespace {

std::vector<int32_t> ids_of(const Json& row) {
  std::vector<int32_t> ids;
  for (const Json& id : row.find("ids")->as_array())
    ids.push_back(static_cast<int32_t>(id.as_int()));
  return ids;
}

Json parse_row(const std::string& line) {
  Result<Json> row = parse_json(line);
  EXPECT_TRUE(row.ok()) << line;
  return row.ok() ? std::move(row).value() : Json();
}

void check_encode(const std::string& file, size_t n_lines) {
  const Tokenizer& tokenizer = test::v3_tokenizer(FATHOM_TESTDATA);
  const std::vector<std::string> lines = test::read_xz_lines(file);
  EXPECT_GE(lines.size(), n_lines);
  int n_wrong = 0;
  for (const std::string& line : lines) {
    const Json row = parse_row(line);
    const std::string& text = row.find("text")->as_string();
    const EncodeOptions options{.add_special = false,
                                .recognize_added = row.find("special")->as_bool()};
    if (tokenizer.encode(text, options) != ids_of(row)) {
      if (++n_wrong <= 10) ADD_FAILURE() << "other ids for: " << line.substr(0, 400);
    }
    // The way back: all bytes are in the ids.
    EXPECT_EQ(tokenizer.decode(ids_of(row), false), text) << line.substr(0, 200);
  }
  EXPECT_EQ(n_wrong, 0) << "of " << lines.size();
}

// The pieces come from Python's incremental decoder, which holds back the first two bytes of a
// UTF-16 surrogate although nothing can complete them. There we print them (as U+FFFD) at once, as
// the rule says.
bool has_surrogate(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  std::string bytes;
  for (const int32_t id : ids) bytes += tokenizer.token_bytes(id);
  for (size_t i = 0; i + 1 < bytes.size(); ++i) {
    if (bytes[i] == '\xed' && static_cast<unsigned char>(bytes[i + 1]) >= 0xa0) return true;
  }
  return false;
}

void check_decode(const std::string& file, size_t n_lines) {
  const Tokenizer& tokenizer = test::v3_tokenizer(FATHOM_TESTDATA);
  const std::vector<std::string> lines = test::read_xz_lines(file);
  EXPECT_GE(lines.size(), n_lines);
  for (const std::string& line : lines) {
    const Json row = parse_row(line);
    const bool skip = row.find("skip_special_tokens")->as_bool();
    const std::vector<int32_t> ids = ids_of(row);
    const std::string& text = row.find("text")->as_string();
    EXPECT_EQ(tokenizer.decode(ids, skip), text) << line.substr(0, 400);

    StreamDecoder stream(tokenizer, skip);
    std::vector<std::string> pieces;
    for (const int32_t id : ids) pieces.push_back(stream.push(id));
    pieces.push_back(stream.finish());
    std::string joined;
    for (const std::string& piece : pieces) joined += piece;
    EXPECT_EQ(joined, text) << line.substr(0, 400);
    const Json* expected = row.find("pieces");
    if (expected == nullptr || has_surrogate(tokenizer, ids)) continue;
    std::vector<std::string> expected_pieces;
    for (const Json& piece : expected->as_array()) expected_pieces.push_back(piece.as_string());
    EXPECT_EQ(pieces, expected_pieces) << line.substr(0, 400);
  }
}

TEST(TokenizerReference, EncodesAsTheReferenceDoes) {
  check_encode(FATHOM_TESTDATA "/tokenizer/encode.jsonl.xz", 600);
}

TEST(TokenizerReference, DecodesAsTheReferenceDoes) {
  check_decode(FATHOM_TESTDATA "/tokenizer/decode.jsonl.xz", 250);
}

TEST(TokenizerReference, FullSetEncodesAsTheReferenceDoes) {
  const std::string file = FATHOM_SHARED "/reference/tokenizer/encode.jsonl.xz";
  if (!std::filesystem::exists(file)) GTEST_SKIP() << "no full reference set here";
  check_encode(file, 6000);
}

TEST(TokenizerReference, FullSetDecodesAsTheReferenceDoes) {
  const std::string file = FATHOM_SHARED "/reference/tokenizer/decode.jsonl.xz";
  if (!std::filesystem::exists(file)) GTEST_SKIP() << "no full reference set here";
  check_decode(file, 1400);
}

}  // namespace
}  // namespace fathom
