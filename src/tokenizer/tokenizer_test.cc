// Goal: the tokenizer's rules beside the reference's lines. Method: laws on random text and small
// examples.
#include "tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <random>
#include <thread>

#include "base/utf8.h"
#include "tests/support/tokenizers.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/stream_decoder.h"
#include "tokenizer/v3_scanner.h"
#include "tokenizer/word_runs.h"

namespace fathom {
namespace {

using Ids = std::vector<int32_t>;

uint32_t test_seed() {
  const char* given = std::getenv("FATHOM_SEED");
  const uint32_t seed =
      given == nullptr ? 4u : static_cast<uint32_t>(std::strtoul(given, nullptr, 10));
  std::printf("FATHOM_SEED=%u\n", seed);
  return seed;
}

const Tokenizer& v3() { return test::v3_tokenizer(FATHOM_TESTDATA); }

Tokenizer small() {
  Result<Tokenizer> result = Tokenizer::from_json(
      test::small_tokenizer_json().dump(),
      R"({"bos_token": "<s>", "eos_token": {"content": "</s>"}, "add_bos_token": true,
          "chat_template": [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]})");
  EXPECT_TRUE(result.ok()) << result.error().message;
  return std::move(result).value();
}

// Characters that the patterns tell apart, in runs.
std::string random_text(std::mt19937& random, int n_runs) {
  static constexpr std::array<char32_t, 26> kChars = {
      U'a', U'Z', U'é', U'ж',      U'中',     U'ひ',     U'カ',         U'゠',     U'゛',
      U'1', U'٣', U'²', U' ',      U'\n',     U'\r',     U'\t',         U'\u00a0', U'\u3000',
      U'!', U'+', U'…', U'\u0301', U'\u200d', U'\u0001', U'\U0001f600', U'\u3040'};
  std::string text;
  for (int run = 0; run < n_runs; ++run) {
    const char32_t c = kChars[random() % kChars.size()];
    for (uint32_t n = random() % 4; n-- > 0;) append_utf8(text, c);
  }
  return text;
}

TEST(Tokenizer, SpecVectors) {
  EXPECT_EQ(v3().encode("Hello, world!"), (Ids{19923, 14, 2058, 3}));
  EXPECT_EQ(v3().encode("<|im_start|>system\n"), (Ids{30, 94, 328, 37864, 94, 32, 27824, 201}));
  EXPECT_EQ(v3().encode(""), Ids{});
  EXPECT_EQ(v3().encode("Hello", {.add_special = true}), (Ids{0, 19923}));
  EXPECT_EQ(v3().vocab_size(), 128815);
  EXPECT_EQ(v3().bos_token_id(), 0);
  EXPECT_EQ(v3().eos_token_id(), 1);
  EXPECT_EQ(v3().token_to_id("<｜User｜>"), 128803);
  EXPECT_EQ(v3().token_to_id("ĠHello"), v3().encode(" Hello").at(0));
  EXPECT_FALSE(v3().is_special(128803));
  EXPECT_TRUE(v3().is_special(0));
  EXPECT_NE(v3().chat_template().find("<｜Assistant｜>"), std::string::npos);
}

TEST(Tokenizer, ConfigSaysBosEosAndTemplate) {
  const Tokenizer tokenizer = small();
  EXPECT_EQ(tokenizer.encode("hell", {.add_special = true}), (Ids{260, 259}));
  EXPECT_EQ(tokenizer.eos_token(), "</s>");
  EXPECT_TRUE(tokenizer.add_bos_token());
  EXPECT_FALSE(tokenizer.add_eos_token());
  EXPECT_EQ(tokenizer.chat_template(), "D");
}

TEST(Tokenizer, PostProcessorCountsWhereTheConfigIsSilent) {
  Json json = test::small_tokenizer_json();
  json.set("post_processor", *parse_json(R"({"type": "TemplateProcessing", "single": [
      {"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "</s>"}}]})"));
  EXPECT_EQ(Tokenizer::from_json(json.dump(), "")->encode("he", {.add_special = true}),
            (Ids{260, 256, 261}));
  const std::string config = R"({"bos_token": "<s>", "add_bos_token": false})";
  EXPECT_EQ(Tokenizer::from_json(json.dump(), config)->encode("he", {.add_special = true}),
            (Ids{256, 261}));
}

// "he l" has a higher rank than "he ll", so "hell" is one token and "hel" another.
TEST(Tokenizer, LowestRankMergesFirst) {
  EXPECT_EQ(small().encode("hell hel l"), (Ids{259, ' ', 257, ' ', 'l'}));
  EXPECT_EQ(small().encode("heel"), (Ids{256, 'e', 'l'}));
}

TEST(Tokenizer, OriginDecidesOnlyWhetherAddedTokensAreRecognised) {
  const Tokenizer tokenizer = small();
  const TextPart parts[] = {{"<s>he", true}, {"ll<tool>", false}, {"<to", true},
                            {"ol>", true},   {"</", true},        {"s>", false}};
  const Ids plain = tokenizer.encode("<tool>", {.recognize_added = false});
  const Ids end = tokenizer.encode("</s>", {.recognize_added = false});
  Ids expected = {260, 259};  // "he" and "ll" are one run: "hell"
  expected.insert(expected.end(), plain.begin(), plain.end());
  expected.push_back(262);  // put together from two parts of the template
  expected.insert(expected.end(), end.begin(), end.end());  // half of it is a user's
  EXPECT_EQ(tokenizer.encode_parts(parts, false), expected);
}

TEST(Tokenizer, DecodeOfBrokenBytesAndUnknownIds) {
  const Tokenizer tokenizer = small();
  EXPECT_EQ(tokenizer.decode(Ids{0xe4, 0xb8, 'a', 0xe4, 0xb8, 0xad, 0xff}, false),
            "\ufffda中\ufffd");
  EXPECT_EQ(tokenizer.decode(Ids{-1, 5000, 'a', 1 << 30}, false), "a");
  EXPECT_EQ(tokenizer.decode(Ids{0xc3, 262, 0xa9}, true), "\ufffd<tool>\ufffd");
  EXPECT_EQ(tokenizer.decode(Ids{0xc3, 260, 0xa9}, true), "é");
  StreamDecoder stream(tokenizer, false);
  for (const int32_t byte : {0xf0, 0x9f, 0x98}) EXPECT_EQ(stream.push(byte), "");
  EXPECT_EQ(stream.push(0x80), "😀");
  EXPECT_EQ(stream.push(0xf0), "");
  EXPECT_EQ(stream.finish(), "\ufffd");
}

TEST(Tokenizer, BytesThatAreNotUtf8ComeBackAsTheyWere) {
  std::mt19937 random(test_seed());
  Result<PreTokenizer> regex =
      PreTokenizer::from_patterns(std::array<std::string, 1>{R"(\p{L}+|\s+)"});
  ASSERT_TRUE(regex.ok());
  for (int trial = 0; trial < 300; ++trial) {
    std::string text;
    for (uint32_t n = random() % 60; n-- > 0;) text += static_cast<char>(random());
    std::string bytes;
    for (const int32_t id : v3().encode(text)) bytes += v3().token_bytes(id);
    EXPECT_EQ(bytes, text);
    std::vector<std::string_view> pieces;
    regex->split(text, pieces);
    std::string joined;
    for (const std::string_view piece : pieces) joined += piece;
    EXPECT_EQ(joined, text);
  }
}

// The scanner = its three patterns by the regex library. A fourth one that matches nothing keeps
// the scanner out.
TEST(Tokenizer, ScannerEqualsItsPatterns) {
  std::mt19937 random(test_seed());
  std::vector<std::string> patterns(kV3Patterns.begin(), kV3Patterns.end());
  const Result<PreTokenizer> scanner = PreTokenizer::from_patterns(patterns);
  patterns.emplace_back("\\x{10FFFF}\\x{10FFFF}");
  const Result<PreTokenizer> regex = PreTokenizer::from_patterns(patterns);
  ASSERT_TRUE(scanner.ok() && regex.ok());
  ASSERT_TRUE(scanner->is_v3() && !regex->is_v3());
  for (int trial = 0; trial < 3000; ++trial) {
    const std::string text = random_text(random, 12);
    std::vector<std::string_view> a;
    std::vector<std::string_view> b;
    scanner->split(text, a);
    regex->split(text, b);
    ASSERT_EQ(a, b) << text;
  }
}

// A piece longer than the short path = the same ids whichever path; long runs take time in
// proportion.
TEST(Tokenizer, HostileTextIsLinear) {
  for (const std::string_view unit :
       {"a", " ", "\u0301", "7", "\n", "!", "中", "\U0001f600", "\u200d", "ab", " \n", "<｜"}) {
    std::string text;
    while (text.size() < (1u << 20)) text += unit;
    const auto start = std::chrono::steady_clock::now();
    const Ids ids = v3().encode(text + "x");
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    // A quadratic algorithm takes hours; the limit leaves room for sanitizers and busy machines.
    EXPECT_LT(taken.count(), 10.0) << unit;
    EXPECT_EQ(v3().decode(ids, false), text + "x");
  }
}

TEST(Tokenizer, ThreadsShareIt) {
  const std::string text = "Threads share one tokenizer, 1234 中文 and more.";
  const Ids expected = v3().encode(text);
  std::vector<std::thread> threads;
  std::array<bool, 4> good{};
  for (size_t t = 0; t < good.size(); ++t) {
    threads.emplace_back([&, t] {
      good[t] = true;
      for (int i = 0; i < 200; ++i)
        good[t] = good[t] && v3().encode(text) == expected && v3().decode(expected, true) == text;
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const bool g : good) EXPECT_TRUE(g);
}

TEST(Tokenizer, KimiPatternCutsHanRunsOut) {
  std::string model;
  static constexpr char kLetters[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (int byte = 0; byte < 256; ++byte) {
    str_append(model, kLetters[byte >> 2], kLetters[(byte & 3) << 4], "== ", byte, "\n");
  }
  // "ab", and "b" with the first byte of 中: a piece that only a cut between letter and Han
  // prevents.
  model += "YWI= 256\nYuQ= 257\n";
  const Result<Tokenizer> tokenizer = Tokenizer::from_tiktoken(
      model,
      R"({"bos_token": "[BOS]", "added_tokens_decoder": {"258": {"content": "[BOS]", "special": true}}})");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  EXPECT_EQ(tokenizer->encode("[BOS]ab中"), (Ids{258, 256, 0xe4, 0xb8, 0xad}));
  EXPECT_EQ(tokenizer->token_to_id("<|reserved_token_513|>"), 513);
  EXPECT_EQ(tokenizer->vocab_size(), 258 + 256);
}

TEST(WordRunCutter, CutsLongRunsAndLeavesOthers) {
  const auto cuts = [](std::string_view text) {
    std::vector<std::string> out;
    for (WordRunCutter cutter(text, 3); !cutter.done();) {
      const auto [begin, end] = cutter.next();
      out.emplace_back(text.substr(begin, end - begin));
    }
    return out;
  };
  EXPECT_EQ(cuts("abc def"), (std::vector<std::string>{"abc def"}));
  EXPECT_EQ(cuts("abcdéfg    x"), (std::vector<std::string>{"abc", "déf", "g   ", " x"}));
  EXPECT_EQ(cuts(""), std::vector<std::string>{});
}

}  // namespace
}  // namespace fathom
