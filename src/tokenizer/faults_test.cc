// Goal: a broken tokenizer file is answered by one sentence that says what is wrong, never by a
// crash or a guess. Method: the small tokenizer with one thing broken per test.
#include <gtest/gtest.h>

#include <functional>

#include "tests/support/tokenizers.h"
#include "tokenizer/bpe.h"

namespace fathom {
namespace {

Json& at(Json& json, std::string_view key) { return const_cast<Json&>(*json.find(key)); }

// The error for the small tokenizer after `edit`, or "" if it loads.
std::string error_after(const std::function<void(Json&)>& edit, std::string_view config = "") {
  Json json = test::small_tokenizer_json();
  edit(json);
  const Result<Tokenizer> result = Tokenizer::from_json(json.dump(), config);
  return result.ok() ? "" : result.error().message;
}

void expect_error(const std::string& error, std::string_view part) {
  EXPECT_NE(error.find(part), std::string::npos) << "the message is: " << error;
  EXPECT_EQ(error.find('\n'), std::string::npos) << error;
}

Json& vocab(Json& json) { return at(at(json, "model"), "vocab"); }
Json& merges(Json& json) { return at(at(json, "model"), "merges"); }
Json& added(Json& json) { return at(json, "added_tokens"); }

Json typed(std::string_view type) {
  Json json = Json::object();
  json.set("type", Json(type));
  return json;
}

void set_pattern(Json& json, std::string_view pattern) {
  Json regex = Json::object();
  regex.set("Regex", Json(pattern));
  Json split = typed("Split");
  split.set("pattern", std::move(regex));
  split.set("behavior", Json("Isolated"));
  Json byte_level = typed("ByteLevel");
  byte_level.set("add_prefix_space", Json(false));
  byte_level.set("use_regex", Json(false));
  Json sequence = typed("Sequence");
  sequence.set("pretokenizers", Json(Json::Array{std::move(split), std::move(byte_level)}));
  json.set("pre_tokenizer", std::move(sequence));
}

TEST(TokenizerFaults, TheSmallTokenizerItselfIsGood) {
  EXPECT_EQ(error_after([](Json&) {}), "");
}

TEST(TokenizerFaults, NotJson) {
  for (const std::string_view text : {"", "{", "[1, 2]", "nonsense", "{\"model\": 3}", "{}"}) {
    const Result<Tokenizer> result = Tokenizer::from_json(text, "");
    ASSERT_FALSE(result.ok()) << text;
    expect_error(result.error().message, "tokenizer.json");
  }
}

// Every place at which the file could end.
TEST(TokenizerFaults, TruncatedAnywhere) {
  const std::string whole = test::small_tokenizer_json().dump();
  for (size_t size = 0; size < whole.size(); size += 13) {
    EXPECT_FALSE(Tokenizer::from_json(std::string_view(whole).substr(0, size), "").ok()) << size;
  }
}

TEST(TokenizerFaults, MergeOfUnknownPiece) {
  expect_error(error_after([](Json& json) { merges(json).push_back(Json("he xyz")); }),
               "names \"xyz\"");
}
TEST(TokenizerFaults, MergeThatMakesNoPiece) {
  expect_error(error_after([](Json& json) { merges(json).push_back(Json("l o")); }),
               "makes \"lo\"");
}
TEST(TokenizerFaults, MergeTwice) {
  expect_error(error_after([](Json& json) { merges(json).push_back(Json("h e")); }),
               "merges 0 and 4 are the same");
}
TEST(TokenizerFaults, MergeOfThreeOrNoText) {
  expect_error(error_after([](Json& json) { merges(json).push_back(Json("h e l")); }),
               "model.merges[4]");
  expect_error(error_after([](Json& json) { merges(json).push_back(Json(7)); }), "model.merges[4]");
}
TEST(TokenizerFaults, TooManyMerges) {
  const auto edit = [](Json& json) {
    Json::Array& list = merges(json).as_array();
    list.resize(static_cast<size_t>(Bpe::kMergesMax) + 1, Json(0));
  };
  expect_error(error_after(edit), "more than 4194304");
}
TEST(TokenizerFaults, GapInIds) {
  expect_error(error_after([](Json& json) { vocab(json).set("zz", Json(1000)); }),
               "no token has the id 263");
}
TEST(TokenizerFaults, IdTwice) {
  expect_error(error_after([](Json& json) { vocab(json).set("zz", Json(65)); }), "the id 65 twice");
}
TEST(TokenizerFaults, IdOutOfAllBounds) {
  for (const Json& id :
       {Json(-1), Json(int64_t{1} << 40), Json(uint64_t{1} << 63), Json(1.5), Json("7")}) {
    EXPECT_NE(error_after([&](Json& json) { vocab(json).set("zz", id); }), "") << id.dump();
  }
}
TEST(TokenizerFaults, PieceTwice) {
  // As one JSON key twice: the parser sees it.
  std::string text = test::small_tokenizer_json().dump();
  text.replace(text.find("\"hel\":257"), 9, "\"he\":257");
  EXPECT_FALSE(Tokenizer::from_json(text, "").ok());
}
TEST(TokenizerFaults, ByteWithoutPiece) {
  expect_error(error_after([](Json& json) { vocab(json).as_object()[0x41].first = "zz"; }),
               "the byte 0x41");
}
TEST(TokenizerFaults, AddedTokenIsAByte) {
  expect_error(error_after([](Json& json) {
                 added(json).as_array()[0].set("id", Json(65));
                 added(json).as_array()[0].set("content", Json("A"));
               }),
               "single byte");
}
TEST(TokenizerFaults, AddedTokenWithAnIdOfAnother) {
  expect_error(error_after([](Json& json) { added(json).as_array()[0].set("id", Json(257)); }),
               "given twice");
  expect_error(error_after([](Json& json) { added(json).as_array()[1].set("id", Json(260)); }),
               "given twice");
}
TEST(TokenizerFaults, AddedTokenWithTwoIds) {
  expect_error(
      error_after([](Json& json) { added(json).as_array()[1].set("content", Json("<s>")); }),
      "two ids");
  expect_error(
      error_after([](Json& json) { added(json).as_array()[1].set("content", Json("hell")); }),
      "two ids");
}
TEST(TokenizerFaults, AddedTokenEmptyOrTooLong) {
  expect_error(error_after([](Json& json) { added(json).as_array()[0].set("content", Json("")); }),
               "not empty");
  expect_error(error_after([](Json& json) {
                 added(json).as_array()[0].set("content", Json(std::string(5000, 'x')));
               }),
               "more than 2048 bytes");
}
TEST(TokenizerFaults, AddedTokenFlags) {
  for (const std::string flag : {"lstrip", "rstrip", "single_word"}) {
    expect_error(error_after([&](Json& json) { added(json).as_array()[0].set(flag, Json(true)); }),
                 flag);
  }
}
TEST(TokenizerFaults, UnsupportedKindsAreNamed) {
  expect_error(error_after([](Json& json) { json.set("normalizer", typed("NFC")); }),
               "normalizer type \"NFC\"");
  expect_error(error_after([](Json& json) { json.set("pre_tokenizer", typed("Metaspace")); }),
               "\"Metaspace\"");
  expect_error(error_after([](Json& json) { json.set("decoder", typed("WordPiece")); }),
               "\"WordPiece\"");
  expect_error(error_after([](Json& json) { json.set("decoder", Json()); }), "decoder");
  expect_error(error_after([](Json& json) { json.set("post_processor", typed("BertProcessing")); }),
               "\"BertProcessing\"");
  expect_error(error_after([](Json& json) { at(json, "model").set("type", Json("Unigram")); }),
               "\"Unigram\"");
  expect_error(error_after([](Json& json) { at(json, "model").set("byte_fallback", Json(true)); }),
               "byte_fallback");
  expect_error(error_after([](Json& json) { at(json, "model").set("dropout", Json(0.1)); }),
               "dropout");
  expect_error(error_after([](Json& json) {
                 at(json, "pre_tokenizer").set("add_prefix_space", Json(true));
               }),
               "add_prefix_space");
}
TEST(TokenizerFaults, PatternsThatCannotBeUsed) {
  for (const std::string pattern :
       {"(",     "[a",          "a{3,2}", "\\p{Nonsense}", "(?<name>a)", "\\w+", "a++",
        "(?>a)", "[a[b]]",      "[a&&b]", "\\1",           "(*ACCEPT)",  "\\",   "\\K",
        "a{",    "\\x{110000}", "(?m:a)", "^(?R)$",        "\\p",        "\\xff"}) {
    expect_error(error_after([&](Json& json) { set_pattern(json, pattern); }), "cannot be used: ");
  }
}
TEST(TokenizerFaults, PatternsOfMoreThanLinearTime) {
  for (const std::string pattern : {"(a+)+b", "a+b|.", "\\s+x|\\s", "(a|aa)+$"}) {
    expect_error(error_after([&](Json& json) { set_pattern(json, pattern); }),
                 "more than linear time");
  }
}
TEST(TokenizerFaults, Config) {
  const auto nothing = [](Json&) {};
  expect_error(error_after(nothing, "{"), "tokenizer_config.json");
  expect_error(error_after(nothing, "[]"), "tokenizer_config.json");
  expect_error(error_after(nothing, R"({"bos_token": "<none>"})"), "\"<none>\"");
  expect_error(error_after(nothing, R"({"bos_token": 3})"), "bos_token");
  expect_error(error_after(nothing, R"({"add_bos_token": true})"), "no such token is named");
  expect_error(error_after(nothing, R"({"add_bos_token": "yes"})"), "boolean");
  expect_error(error_after(nothing, R"({"chat_template": 5})"), "chat_template");
  expect_error(error_after(nothing, R"({"added_tokens_decoder": {"x": {"content": "a"}}})"),
               "no token id");
  expect_error(error_after(nothing, R"({"added_tokens_decoder": {"260": {"content": "<other>"}}})"),
               "given twice");
}

std::string tiktoken_bytes() {
  // base64 of each byte: two letters and "==".
  static constexpr char kLetters[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (int byte = 0; byte < 256; ++byte) {
    str_append(text, kLetters[byte >> 2], kLetters[(byte & 3) << 4], "== ", byte, "\n");
  }
  return text;
}

std::string tiktoken_error(const std::string& text, std::string_view config = "") {
  const Result<Tokenizer> result = Tokenizer::from_tiktoken(text, config);
  return result.ok() ? "" : result.error().message;
}

TEST(TokenizerFaults, Tiktoken) {
  EXPECT_EQ(tiktoken_error(tiktoken_bytes()), "");
  EXPECT_EQ(tiktoken_error(tiktoken_bytes() + "aGU= 256\r\n"), "");
  expect_error(tiktoken_error(""), "no pieces");
  expect_error(tiktoken_error(tiktoken_bytes().substr(6)), "the id 0");
  expect_error(tiktoken_error(tiktoken_bytes() + "a!U= 256\n"), "line 257: \"a!U=\" is not base64");
  expect_error(tiktoken_error(tiktoken_bytes() + "aGV= 256\n"), "not base64");
  expect_error(tiktoken_error(tiktoken_bytes() + "aGU= -1\n"), "-1");
  expect_error(tiktoken_error(tiktoken_bytes() + "aGU= 99999999999999999999\n"), "line 257");
  expect_error(tiktoken_error(tiktoken_bytes() + "aGU=256\n"), "line 257");
  expect_error(tiktoken_error(tiktoken_bytes() + "aGU= 255\n"), "a second time");
  expect_error(tiktoken_error(tiktoken_bytes() + "aGU= 256\naGU= 257\n"), "are the same");
  expect_error(tiktoken_error(tiktoken_bytes() + "aGU= 300\n"), "without gaps");
  expect_error(tiktoken_error(tiktoken_bytes(), R"({"tokenizer_class": "QWenTokenizer"})"),
               "QWenTokenizer");
}

}  // namespace
}  // namespace fathom
