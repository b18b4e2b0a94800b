// Goal: the merges are those of the definition, and the saved tokenizer is one. Method: the
// plainest implementation, that counts all pairs anew for every merge, on small texts; the
// tokenizer that is loaded encodes as the merges say and gives every byte back.
#include "tokenizer/bpe_trainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/utf8.h"
#include "io/json.h"
#include "tests/support/tokenizers.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/v3_scanner.h"

namespace fathom {
namespace {

const std::string kText =
    "the cat sat on the mat. The cat saw the other cat, and that cat sat there too.\n"
    "aaaa aaaaa aaaaaaa baab abab 1234 12345 (a) (b) königin König\n\nthe end of the tale.\n";

TrainedTokenizer trained(const std::string& text, int64_t vocab_size) {
  BpeTrainer trainer = BpeTrainer::create({.vocab_size = vocab_size}).value();
  trainer.add(text);
  return trainer.train(512);
}

Tokenizer load(const TrainedTokenizer& made) {
  auto tokenizer = Tokenizer::from_json(made.tokenizer_json, made.tokenizer_config_json);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  return std::move(*tokenizer);
}

// Pairs of bytes' texts, most frequent first; ties by ids, which are the order of appearance.
std::vector<std::pair<std::string, std::string>> plain_merges(const std::string& text, size_t n) {
  std::map<std::string, int64_t> ids;
  std::vector<std::pair<std::string, std::string>> bytes;
  for (int byte = 0; byte < 256; ++byte) {
    const std::string one(1, static_cast<char>(byte));
    bytes.emplace_back(piece_of_bytes(one), one);
  }
  std::sort(bytes.begin(), bytes.end());
  for (const auto& [piece, one] : bytes) ids.emplace(one, std::ssize(ids));
  std::vector<std::string_view> pieces;
  split_v3(text, pieces);
  std::vector<std::vector<std::string>> words;
  for (const std::string_view piece : pieces) {
    words.emplace_back();
    for (const char c : piece) words.back().emplace_back(1, c);
  }
  std::vector<std::pair<std::string, std::string>> out;
  while (out.size() < n) {
    std::map<std::pair<int64_t, int64_t>, int64_t> counts;
    std::map<std::pair<int64_t, int64_t>, std::pair<std::string, std::string>> names;
    for (const auto& word : words) {
      for (size_t i = 0; i + 1 < word.size(); ++i) {
        const std::pair key = {ids.at(word[i]), ids.at(word[i + 1])};
        ++counts[key];
        names[key] = {word[i], word[i + 1]};
      }
    }
    std::pair<int64_t, int64_t> best;
    int64_t most = 1;  // two at least
    for (const auto& [key, count] : counts) {
      if (count > most) {
        most = count;
        best = key;
      }
    }
    if (most == 1) break;
    const auto [left, right] = names[best];
    out.emplace_back(left, right);
    ids.emplace(left + right, std::ssize(ids));
    for (auto& word : words) {
      for (size_t i = 0; i + 1 < word.size(); ++i) {
        if (word[i] != left || word[i + 1] != right) continue;
        word[i] += right;
        word.erase(word.begin() + static_cast<std::ptrdiff_t>(i) + 1);
      }
    }
  }
  return out;
}

TEST(BpeTrainer, MergesAreThoseOfTheDefinition) {
  constexpr int64_t kMerges = 60;
  const TrainedTokenizer made = trained(kText, BpeTrainer::vocab_size_min() + kMerges);
  const auto want = plain_merges(kText, kMerges);
  const Json json = parse_json(made.tokenizer_json).value();
  const Json::Array& merges = json.find("model")->find("merges")->as_array();
  ASSERT_EQ(merges.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    EXPECT_EQ(merges[i].as_array()[0].as_string(), piece_of_bytes(want[i].first)) << i;
    EXPECT_EQ(merges[i].as_array()[1].as_string(), piece_of_bytes(want[i].second)) << i;
  }
}

TEST(BpeTrainer, TheTokenizerLoadsAndGivesEveryByteBack) {
  const TrainedTokenizer made = trained(kText, BpeTrainer::vocab_size_min() + 20);
  const Tokenizer tokenizer = load(made);
  EXPECT_EQ(tokenizer.vocab_size(), BpeTrainer::vocab_size_min() + 20);
  EXPECT_EQ(tokenizer.bos_token_id(), 0);
  EXPECT_EQ(tokenizer.eos_token_id(), 1);
  EXPECT_TRUE(tokenizer.add_bos_token());
  EXPECT_EQ(tokenizer.token_to_id("</think>"), BpeTrainer::vocab_size_min() + 19);
  EXPECT_FALSE(tokenizer.chat_template().empty());
  const std::vector<int32_t> ids = tokenizer.encode(kText);
  EXPECT_EQ(tokenizer.decode(ids, false), kText);
  EXPECT_LT(ids.size(), kText.size() * 3 / 4);
  std::string bytes;
  for (int byte = 0; byte < 256; ++byte) bytes += static_cast<char>(byte);
  std::string back;
  for (const int32_t id : tokenizer.encode(bytes)) back += tokenizer.token_bytes(id);
  EXPECT_EQ(back, bytes);
}

TEST(BpeTrainer, OrderOfTheDocumentsDoesNotMatter) {
  const auto in_order = [](const std::vector<std::string>& texts) {
    BpeTrainer trainer = BpeTrainer::create({.vocab_size = 330}).value();
    for (const std::string& text : texts) trainer.add(text);
    return trainer.train(512).tokenizer_json;
  };
  EXPECT_EQ(in_order({"one two three two", "four four one", kText}),
            in_order({kText, "four four one", "one two three two"}));
}

TEST(BpeTrainer, EndsWhereNothingRepeats) {
  const TrainedTokenizer made = trained("abc abd", 5000);
  EXPECT_EQ(made.n_merges, 1);  // "ab"; with the blank it stands once
  EXPECT_EQ(made.vocab_size, BpeTrainer::vocab_size_min() + 1);
  EXPECT_EQ(load(made).vocab_size(), made.vocab_size);
}

TEST(BpeTrainer, ForgetsTheRarestWordsWhenTheyAreTooMany) {
  BpeTrainer trainer = BpeTrainer::create({.vocab_size = 400, .words_max = 100}).value();
  for (int i = 0; i < 500; ++i) trainer.add(str_cat("fox word", std::string(1, 'a' + i % 26), i));
  EXPECT_LE(trainer.n_words(), 100);
  EXPECT_GT(trainer.n_forgotten(), 0);
  const Tokenizer tokenizer = load(trainer.train(512));
  EXPECT_EQ(tokenizer.encode("fox").size(), 1u);
}

// A long run is no word of its own length: its merges would double it to a token that no tokenizer
// loads, in quadratic time.
TEST(BpeTrainer, LongRunsAreCountedInPiecesBetweenCharacters) {
  std::string greek;
  for (int i = 0; i < 10'000; ++i) greek += "λ";
  // After the first letter a piece's last byte would be half a character.
  const std::string text = std::string(1 << 20, '=') + "\nx" + greek + "\n";
  const TrainedTokenizer made = trained(text, BpeTrainer::vocab_size_min() + 40);
  const Tokenizer tokenizer = load(made);
  size_t longest = 0;
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    if (tokenizer.is_added(id) || tokenizer.token_bytes(id).size() < 2) continue;
    longest = std::max(longest, tokenizer.token_bytes(id).size());
    EXPECT_TRUE(is_valid_utf8(tokenizer.token_bytes(id)));
  }
  EXPECT_EQ(longest, BpeTrainer::kWordBytesMax);
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(text), false), text);
}

TEST(BpeTrainer, ForgetsWhenTheBytesOfWordsAreTooMany) {
  BpeTrainer trainer = BpeTrainer::create({.vocab_size = 400, .word_bytes_max = 10'000}).value();
  for (int i = 0; i < 300; ++i)
    trainer.add("fox " + std::string(100, 'a' + i % 26) + std::string(1 + i % 100, 'a' + i / 26));
  EXPECT_LE(trainer.n_words(), 100);
  EXPECT_GT(trainer.n_forgotten(), 0);
  EXPECT_EQ(load(trainer.train(512)).encode("fox").size(), 1u);
}

TEST(BpeTrainer, LearnsWhatHuggingFacesTrainerLearns) {
  const Json golden =
      *parse_json(test::read_text(std::string(FATHOM_TESTDATA) + "/tokenizer/trained.json"));
  const Json::Array& want = golden.find("merges")->as_array();
  BpeTrainer trainer =
      BpeTrainer::create({.vocab_size = BpeTrainer::vocab_size_min() + std::ssize(want)}).value();
  for (const Json& text : golden.find("texts")->as_array()) trainer.add(text.as_string());
  const Json made = *parse_json(trainer.train(512).tokenizer_json);
  const Json::Array& merges = made.find("model")->find("merges")->as_array();
  ASSERT_EQ(merges.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    const Json::Array& merge = merges[i].as_array();
    ASSERT_EQ(merge[0].as_string() + " " + merge[1].as_string(), want[i].as_string()) << i;
  }
}

TEST(BpeTrainer, TooSmallAVocabularyIsASentence) {
  const auto trainer = BpeTrainer::create({.vocab_size = 276});
  ASSERT_FALSE(trainer.ok());
  EXPECT_EQ(trainer.error().message,
            "a vocabulary of 276 is too small: bytes and special tokens alone are 276");
}

}  // namespace
}  // namespace fathom
