// Goal: a tokenizer in a GGUF file is the published one: the same ids and texts. Method: V3's
// published tokenizer written and read back, compared on the reference's texts; metadata broken one
// at a time.
#include <gtest/gtest.h>

#include <functional>

#include "tests/support/temp_folder.h"
#include "tests/support/tokenizers.h"
#include "tests/support/xz.h"
#include "tokenizer/pre_tokenizer.h"

namespace fathom {
namespace {

using testing_support::get_file;
using testing_support::TempFolder;

std::string file_with(const GgufMetadataBuilder& metadata) {
  const TempFolder folder;
  auto writer = GgufWriter::create(folder / "t.gguf", metadata, {}, true);
  EXPECT_TRUE(writer.ok() && writer->finish().ok());
  return get_file(folder / "t.gguf");
}
Result<Tokenizer> tokenizer_in(const std::string& file) {
  FATHOM_TRY(const GgufFile parsed, parse_gguf(std::as_bytes(std::span(file)), "t.gguf"));
  return Tokenizer::from_gguf(parsed.metadata, "t.gguf");
}

TEST(TokenizerGguf, IsTheOneOfTokenizerJson) {
  const Tokenizer& published = test::v3_tokenizer(FATHOM_TESTDATA);
  GgufMetadataBuilder metadata;
  ASSERT_TRUE(published.add_to_gguf(129280, metadata).ok());
  const auto read = tokenizer_in(file_with(metadata));
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read->vocab_size(), published.vocab_size());
  EXPECT_EQ(read->bos_token_id(), published.bos_token_id());
  EXPECT_EQ(read->eos_token_id(), published.eos_token_id());
  EXPECT_EQ(read->bos_token(), published.bos_token());
  EXPECT_EQ(read->add_bos_token(), published.add_bos_token());
  EXPECT_EQ(read->add_eos_token(), published.add_eos_token());
  EXPECT_EQ(read->chat_template(), published.chat_template());
  for (int32_t id = 0; id < published.vocab_size(); ++id) {
    ASSERT_EQ(read->token_bytes(id), published.token_bytes(id)) << id;
    ASSERT_EQ(read->is_special(id), published.is_special(id)) << id;
    ASSERT_EQ(read->is_added(id), published.is_added(id)) << id;
  }
  int n = 0;
  for (const std::string& line :
       test::read_xz_lines(FATHOM_TESTDATA "/tokenizer/encode.jsonl.xz")) {
    const auto json = parse_json(line);
    ASSERT_TRUE(json.ok());
    const Json* text = json->find("text");
    if (text == nullptr || !text->is_string()) continue;
    for (const bool add_special : {false, true}) {
      const EncodeOptions options = {.add_special = add_special, .recognize_added = true};
      const std::vector<int32_t> ids = published.encode(text->as_string(), options);
      ASSERT_EQ(read->encode(text->as_string(), options), ids) << line;
      ASSERT_EQ(read->decode(ids, true), published.decode(ids, true)) << line;
    }
    ++n;
  }
  EXPECT_GT(n, 500);
}

// A complete tokenizer, one part of which a test replaces.
struct Parts {
  std::string model = "gpt2", pre = "deepseek-v3";
  std::vector<std::string> tokens, merges = {"h e"};
  std::vector<int32_t> types;
  bool add_bos = true;
  uint32_t bos = 257;
};
std::string error_of(const std::function<void(Parts&)>& spoil) {
  Parts parts;
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    parts.tokens.push_back(piece_of_bytes(std::string_view(&c, 1)));
    parts.types.push_back(1);
  }
  for (const char* token : {"he", "<s>", "<tool>", "[PAD259]"}) parts.tokens.emplace_back(token);
  for (const int32_t type : {1, 3, 4, 5}) parts.types.push_back(type);
  spoil(parts);
  GgufMetadataBuilder m;
  m.add_string("tokenizer.ggml.model", parts.model);
  m.add_string("tokenizer.ggml.pre", parts.pre);
  m.add_strings("tokenizer.ggml.tokens", parts.tokens);
  m.add_i32s("tokenizer.ggml.token_type", parts.types);
  m.add_strings("tokenizer.ggml.merges", parts.merges);
  m.add_u32("tokenizer.ggml.bos_token_id", parts.bos);
  m.add_bool("tokenizer.ggml.add_bos_token", parts.add_bos);
  const auto read = tokenizer_in(file_with(m));
  if (!read.ok()) return read.error().message;
  EXPECT_EQ(read->encode("he<tool>", {.add_special = true}), (std::vector<int32_t>{257, 256, 258}));
  EXPECT_EQ(read->vocab_size(), 259) << "unused tokens at the end are none";
  EXPECT_TRUE(read->is_special(257));
  EXPECT_FALSE(read->is_special(258));
  return "";
}

TEST(TokenizerGguf, BrokenMetadata) {
  EXPECT_EQ(error_of([](Parts&) {}), "");
  const struct {
    std::function<void(Parts&)> spoil;
    const char* expected;
  } cases[] = {
      {[](Parts& p) { p.model = "llama"; }, "tokenizer.ggml.model is \"llama\""},
      {[](Parts& p) { p.pre = "qwen2"; },
       "\"qwen2\" is not known (known: deepseek-v3, deepseek-llm, deepseek-coder, kimi-k2)"},
      {[](Parts& p) { p.types.pop_back(); }, "not one number for each token"},
      {[](Parts& p) { p.tokens[65] = p.tokens[66]; }, "are the same"},
      {[](Parts& p) { p.tokens[257] = ""; }, "the token with id 257 has 0 bytes"},
      {[](Parts& p) { p.merges = {"he"}; }, "merges[0] is \"he\", expected two pieces"},
      {[](Parts& p) {
         p.merges = {"h e", "x y"};
       },
       "merges[1] is \"x y\": the list of tokens"},
      {[](Parts& p) {
         p.merges = {"h e", "h e"};
       },
       "t.gguf: "},
      {[](Parts& p) { p.bos = 400; }, "bos_token_id is 400, expected 0 to 258"},
  };
  for (const auto& c : cases) {
    const std::string error = error_of(c.spoil);
    EXPECT_NE(error.find(c.expected), std::string::npos) << c.expected << "\n" << error;
    EXPECT_EQ(error.rfind("t.gguf: ", 0), 0u) << error;
  }
}

TEST(TokenizerGguf, PreTokenizersByName) {
  const auto pieces = [](std::string_view name, std::string_view text) {
    const auto pre = PreTokenizer::from_gguf_name(name);
    EXPECT_TRUE(pre.ok()) << name;
    std::vector<std::string_view> out;
    pre->split(text, out);
    return std::vector<std::string>(out.begin(), out.end());
  };
  using Pieces = std::vector<std::string>;
  EXPECT_EQ(pieces("deepseek-v3", "It's 1234"), (Pieces{"It", "'s", " ", "123", "4"}));
  EXPECT_EQ(pieces("deepseek-llm", "It's 12\n"), (Pieces{"It", "'", "s", " ", "1", "2", "\n"}));
  EXPECT_EQ(pieces("deepseek-coder", "It's 12"), (Pieces{"It", "'", "s", " ", "1", "2"}));
  EXPECT_EQ(pieces("kimi-k2", "It's 1234"), (Pieces{"It's", " ", "123", "4"}));
}

TEST(TokenizerGguf, WhatHasNoPlaceIsRefused) {
  const auto small = Tokenizer::from_json(test::small_tokenizer_json().dump(), "");
  ASSERT_TRUE(small.ok());
  GgufMetadataBuilder metadata;
  EXPECT_NE(small->add_to_gguf(300, metadata).error().message.find("GGUF has no name for"),
            std::string::npos);
}

}  // namespace
}  // namespace fathom
