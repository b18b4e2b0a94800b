// Goal: shards come back as written, damage is found, and sequences are a fixed mixture in a fixed
// order. Method: small shards with ids that say where they come from; the laws of the order.
#include "train/data_loader.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <numeric>
#include <set>

#include "tests/support/temp_folder.h"

namespace fathom {
namespace {

using testing_support::put_file;
using testing_support::TempFolder;

constexpr int64_t kLength = 8;

// Documents of 10 tokens first, first + 1, ...; n tokens in each split as asked for.
Status make_shards(const std::string& folder, int64_t vocab_size, int32_t first, int64_t n_train,
                   int64_t n_validation, bool mask = false, uint64_t digest = 1) {
  FATHOM_TRY(ShardWriter writer, ShardWriter::create(folder,
                                                     {.vocab_size = vocab_size,
                                                      .tokenizer_digest = digest,
                                                      .has_mask = mask,
                                                      .train = {},
                                                      .validation = {}},
                                                     /*force=*/false));
  for (const Split split : {Split::kTrain, Split::kValidation}) {
    const int64_t n = split == Split::kTrain ? n_train : n_validation;
    for (int64_t at = 0; at < n; at += 10) {
      std::vector<int32_t> ids(static_cast<size_t>(std::min<int64_t>(10, n - at)));
      std::iota(ids.begin(), ids.end(), first + static_cast<int32_t>(at));
      std::vector<uint8_t> counts;
      for (const int32_t id : ids) counts.push_back(id % 3 == 0 ? 1 : 0);
      FATHOM_RETURN_IF_ERROR(writer.add(
          split, ids, mask ? std::span<const uint8_t>(counts) : std::span<const uint8_t>(),
          std::ssize(ids) * 3));
    }
  }
  FATHOM_TRY(const ShardIndex index, writer.finish());
  EXPECT_EQ(index.train.tokens, n_train);
  EXPECT_EQ(index.validation.text_bytes, n_validation * 3);
  return {};
}

DataLoader open(const std::vector<DataSource>& sources, Split split = Split::kTrain,
                uint64_t seed = 1) {
  auto loader =
      DataLoader::open(sources, {.sequence_length = kLength, .seed = seed, .split = split});
  EXPECT_TRUE(loader.ok()) << loader.error().message;
  return std::move(*loader);
}

std::vector<int32_t> tokens_of(const DataLoader& loader, int64_t index,
                               std::vector<uint8_t>* mask_out = nullptr) {
  std::vector<int32_t> tokens(kLength + 1);
  std::vector<uint8_t> mask(kLength);
  EXPECT_TRUE(loader.sequence(index, tokens, mask).ok());
  if (mask_out != nullptr) *mask_out = mask;
  return tokens;
}

TEST(Shards, ComeBackAsWritten) {
  TempFolder folder;
  for (const int64_t vocab : {5000, 100'000}) {
    for (const bool mask : {false, true}) {
      const std::string path = folder / str_cat(vocab, "-", mask);
      ASSERT_TRUE(make_shards(path, vocab, 100, 203, 40, mask).ok());
      const auto shards = Shards::open(path, Split::kTrain);
      ASSERT_TRUE(shards.ok()) << shards.error().message;
      EXPECT_EQ(shards->n_tokens(), 203);
      std::vector<int32_t> ids(150);
      std::vector<uint8_t> counts(150);
      ASSERT_TRUE(shards->read(53, ids, counts).ok());
      for (int32_t i = 0; i < 150; ++i) {
        EXPECT_EQ(ids[static_cast<size_t>(i)], 153 + i);
        EXPECT_EQ(counts[static_cast<size_t>(i)], !mask || (153 + i) % 3 == 0 ? 1 : 0);
      }
    }
  }
}

TEST(Shards, AreNotReplacedUnasked) {
  TempFolder folder;
  ASSERT_TRUE(make_shards(folder / "a", 5000, 0, 50, 0).ok());
  const Status again = make_shards(folder / "a", 5000, 0, 50, 0);
  ASSERT_FALSE(again.ok());
  EXPECT_NE(again.error().message.find("holds shards already"), std::string::npos);
}

TEST(Shards, DamageIsFound) {
  TempFolder folder;
  const std::string path = folder / "a";
  ASSERT_TRUE(make_shards(path, 5000, 0, 50, 0).ok());
  const std::string ids = path + "/train-0.tokens";
  std::string bytes(std::filesystem::file_size(ids), '\0');
  std::ifstream(ids, std::ios::binary).read(bytes.data(), std::ssize(bytes));
  const std::string index = path + "/index.json";
  std::string text(std::filesystem::file_size(index), '\0');
  std::ifstream(index, std::ios::binary).read(text.data(), std::ssize(text));
  const auto error = [&] { return Shards::open(path, Split::kTrain).error().message; };

  bytes[7] = static_cast<char>(bytes[7] ^ 1);
  put_file(ids, bytes);
  EXPECT_NE(error().find("train-0.tokens is not what its index says"), std::string::npos);
  put_file(ids, bytes.substr(0, 20));
  EXPECT_NE(error().find("is not what its index says"), std::string::npos);
  for (const auto& [what, with] : {std::pair{"\"train-0.tokens\"", "\"../x\""},
                                   {"\"version\": 1", "\"version\": 2"},
                                   {"\"vocab_size\": 5000", "\"vocab_size\": -1"},
                                   {"fathom-shards", "other"},
                                   {"\"tokens\": 50", "\"tokens\": 51"}}) {
    std::string broken = text;
    broken.replace(broken.find(what), std::string(what).size(), with);
    put_file(index, broken);
    EXPECT_NE(error().find("index.json"), std::string::npos) << what;
  }
  put_file(index, "{");
  EXPECT_NE(error().find("index.json"), std::string::npos);
}

TEST(Shards, AnIdBeyondTheVocabularyIsAnError) {
  TempFolder folder;
  ASSERT_TRUE(make_shards(folder / "a", 5000, 0, 50, 0).ok());
  const std::string index = folder / "a/index.json";
  std::string text(std::filesystem::file_size(index), '\0');
  std::ifstream(index, std::ios::binary).read(text.data(), std::ssize(text));
  text.replace(text.find("5000"), 4, "20");
  put_file(index, text);
  const auto shards = Shards::open(folder / "a", Split::kTrain);
  ASSERT_TRUE(shards.ok());
  std::vector<int32_t> ids(30);
  EXPECT_NE(shards->read(0, ids, {}).error().message.find("beyond a vocabulary of 20"),
            std::string::npos);
}

TEST(DataLoader, APassHoldsEverySequenceOnceInAnotherOrderEachTime) {
  TempFolder folder;
  constexpr int64_t kSequences = 37;
  ASSERT_TRUE(make_shards(folder / "a", 5000, 0, kSequences * kLength + 1, 0).ok());
  const DataLoader loader = open({{folder / "a", 1}});
  EXPECT_EQ(loader.n_sequences(), kSequences);
  // The order of a block of 1,024 mixes passes, so whole passes are counted over many blocks.
  std::map<int32_t, int64_t> seen;
  std::vector<int32_t> order;
  for (int64_t i = 0; i < 37 * 1024; ++i) {
    const auto tokens = tokens_of(loader, i);
    EXPECT_EQ(tokens.back(), tokens.front() + kLength);
    EXPECT_EQ(tokens.front() % kLength, 0);
    ++seen[tokens.front()];
    if (i < 2 * kSequences) order.push_back(tokens.front());
  }
  EXPECT_EQ(std::ssize(seen), kSequences);
  for (const auto& [first, count] : seen) EXPECT_EQ(count, 1024);
  EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
}

TEST(DataLoader, MixesByWeight) {
  TempFolder folder;
  ASSERT_TRUE(make_shards(folder / "a", 5000, 0, 400, 0).ok());
  ASSERT_TRUE(make_shards(folder / "b", 5000, 1000, 80, 0).ok());
  ASSERT_TRUE(make_shards(folder / "c", 5000, 2000, 160, 0).ok());
  const DataLoader loader = open({{folder / "a", 5}, {folder / "b", 2}, {folder / "c", 1e-9}});
  std::map<int32_t, int64_t> seen;
  for (int64_t i = 0; i < 2048; ++i) ++seen[tokens_of(loader, i).front() / 1000];
  EXPECT_NEAR(static_cast<double>(seen[0]), 2048 * 5.0 / 7, 4);
  EXPECT_NEAR(static_cast<double>(seen[1]), 2048 * 2.0 / 7, 4);
  EXPECT_EQ(seen[2], 2);  // at least one of every block
}

TEST(DataLoader, FollowsFromSeedAndIndexAlone) {
  TempFolder folder;
  ASSERT_TRUE(make_shards(folder / "a", 5000, 0, 1000, 0).ok());
  const DataLoader one = open({{folder / "a", 1}}), same = open({{folder / "a", 1}});
  const DataLoader other = open({{folder / "a", 1}}, Split::kTrain, 2);
  int64_t n_equal = 0;
  for (const int64_t i : {5000, 3, 77, 3, 123456, 0}) {
    EXPECT_EQ(tokens_of(one, i), tokens_of(same, i));
    n_equal += tokens_of(one, i) == tokens_of(other, i) ? 1 : 0;
  }
  EXPECT_LT(n_equal, 4);
}

TEST(DataLoader, MaskIsOfTheTargets) {
  TempFolder folder;
  ASSERT_TRUE(make_shards(folder / "a", 5000, 0, 100, 0, /*mask=*/true).ok());
  const DataLoader loader = open({{folder / "a", 1}});
  std::vector<uint8_t> mask;
  const auto tokens = tokens_of(loader, 4, &mask);
  for (size_t i = 0; i < kLength; ++i) EXPECT_EQ(mask[i], tokens[i + 1] % 3 == 0 ? 1 : 0);
}

TEST(DataLoader, ValidationHoldsEachSequenceOnce) {
  TempFolder folder;
  ASSERT_TRUE(make_shards(folder / "a", 5000, 0, 100, 5 * kLength + 1).ok());
  ASSERT_TRUE(make_shards(folder / "b", 5000, 1000, 100, 2 * kLength + 1).ok());
  const DataLoader loader = open({{folder / "a", 1}, {folder / "b", 1}}, Split::kValidation);
  ASSERT_EQ(loader.n_sequences(), 7);
  std::set<int32_t> seen;
  for (int64_t i = 0; i < 7; ++i) seen.insert(tokens_of(loader, i).front());
  EXPECT_EQ(seen, (std::set<int32_t>{0, 8, 16, 24, 32, 1000, 1008}));
}

TEST(DataLoader, SaysWhatIsWrong) {
  TempFolder folder;
  ASSERT_TRUE(make_shards(folder / "a", 5000, 0, 100, 0).ok());
  ASSERT_TRUE(make_shards(folder / "short", 5000, 0, 5, 0).ok());
  ASSERT_TRUE(make_shards(folder / "other", 5000, 0, 100, 0, false, /*digest=*/2).ok());
  const auto error = [&](const std::vector<DataSource>& sources, Split split) {
    return DataLoader::open(sources, {.sequence_length = kLength, .seed = 1, .split = split})
        .error()
        .message;
  };
  EXPECT_NE(error({{folder / "a", 1}}, Split::kValidation).find("--validation-fraction"),
            std::string::npos);
  EXPECT_NE(error({{folder / "short", 1}}, Split::kTrain).find("less than one sequence of 9"),
            std::string::npos);
  EXPECT_NE(
      error({{folder / "a", 1}, {folder / "other", 1}}, Split::kTrain).find("different tokenizers"),
      std::string::npos);
  EXPECT_NE(error({{folder / "none", 1}}, Split::kTrain).find("index.json"), std::string::npos);
  EXPECT_FALSE(DataLoader::open({}, {.sequence_length = kLength}).ok());
}

}  // namespace
}  // namespace fathom
