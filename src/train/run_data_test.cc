// Goal: each stage reads its own sources, what is held out of any of them is the validation, and
// data that are not of this model are refused. Method: shards of counted tokens.
#include "train/run_data.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/support/temp_folder.h"

namespace fathom {
namespace {

using testing_support::TempFolder;

constexpr int64_t kLength = 8;

// A folder of tokens that all have one value; held_out of them in the validation split.
void write_shards(const std::string& folder, int32_t value, int64_t held_out,
                  uint64_t tokenizer = 5) {
  ShardIndex header;
  header.vocab_size = 100;
  header.tokenizer_digest = tokenizer;
  ShardWriter writer = ShardWriter::create(folder, header, /*force=*/false).value();
  const std::vector<int32_t> train(200, value);
  ASSERT_TRUE(writer.add(Split::kTrain, train, {}, 200).ok());
  const std::vector<int32_t> validation(static_cast<size_t>(held_out), value);
  const bool added = held_out == 0 || writer.add(Split::kValidation, validation, {}, held_out).ok();
  ASSERT_TRUE(added);
  ASSERT_TRUE(writer.finish().ok());
}

RunConfig run_of(const std::vector<std::vector<std::string>>& stages) {
  RunConfig run;
  run.file = "run.toml";
  run.sequence_length = kLength;
  run.evaluate_every = 10;
  for (const auto& paths : stages) {
    DataStage& stage = run.stages.emplace_back();
    for (const std::string& path : paths) stage.sources.push_back({path, 1.0});
  }
  return run;
}

class RunDataTest : public ::testing::Test {
 protected:
  void SetUp() override {
    write_shards(one_, 1, 20);
    write_shards(two_, 2, 40);
    write_shards(none_, 3, 0);
    write_shards(other_, 4, 20, /*tokenizer=*/6);
  }
  std::string error_of(const RunConfig& run, int64_t vocab_size = 100) {
    const auto data = RunData::open(run, vocab_size);
    return data.ok() ? "" : data.error().message;
  }
  TempFolder folder_;
  const std::string one_ = folder_ / "one", two_ = folder_ / "two", none_ = folder_ / "none",
                    other_ = folder_ / "other";
};

// The values of the first n sequences.
template <typename Read>
std::multiset<int32_t> values(const Read& read, int64_t n) {
  std::multiset<int32_t> out;
  for (int64_t i = 0; i < n; ++i) {
    std::vector<int32_t> tokens(kLength + 1);
    std::vector<uint8_t> mask(kLength);
    EXPECT_TRUE(read(i, tokens, mask).ok());
    EXPECT_EQ(mask, std::vector<uint8_t>(kLength, 1));
    EXPECT_EQ(tokens.front(), tokens.back());
    out.insert(tokens.front());
  }
  return out;
}

TEST_F(RunDataTest, EachStageReadsItsSources) {
  const RunData data = RunData::open(run_of({{one_}, {two_, none_}}), 100).value();
  const auto stage = [&](int64_t s) {
    return values(
        [&](int64_t i, auto& tokens, auto& mask) { return data.sequence(s, i, tokens, mask); },
        1024);
  };
  EXPECT_EQ(stage(0).count(1), 1024u);
  EXPECT_EQ(stage(1).count(2), 512u);
  EXPECT_EQ(stage(1).count(3), 512u);
  EXPECT_EQ(data.n_tokens(0), 200);
  EXPECT_EQ(data.n_tokens(1), 400);
}

TEST_F(RunDataTest, WhatIsHeldOutOfAnyStageIsTheValidation) {
  // A folder of two stages counts once; one without held-out text adds none.
  const RunData data = RunData::open(run_of({{one_, none_}, {two_, one_}}), 100).value();
  ASSERT_TRUE(data.validation().has_value());
  EXPECT_EQ(data.validation()->n_sequences(), 19 / kLength + 39 / kLength);
  const auto seen = values([&](int64_t i, auto& tokens,
                               auto& mask) { return data.validation()->sequence(i, tokens, mask); },
                           data.validation()->n_sequences());
  EXPECT_EQ(seen, (std::multiset<int32_t>{1, 1, 2, 2, 2, 2}));
}

TEST_F(RunDataTest, WithoutHeldOutTextThereIsANote) {
  const RunData data = RunData::open(run_of({{none_}}), 100).value();
  EXPECT_FALSE(data.validation().has_value());
  EXPECT_NE(data.validation_note().find("nothing is held out in " + none_), std::string::npos);
  RunConfig never = run_of({{none_}});
  never.evaluate_every = 0;
  EXPECT_EQ(RunData::open(never, 100)->validation_note(), "");
}

TEST_F(RunDataTest, DataOfAnotherModelAreRefused) {
  EXPECT_EQ(error_of(run_of({{one_}, {two_}})), "");
  EXPECT_NE(error_of(run_of({{one_}}), 99).find("vocabulary of 100, the model of 99"),
            std::string::npos);
  EXPECT_NE(error_of(run_of({{one_}, {other_}})).find("different tokenizers"), std::string::npos);
  EXPECT_NE(error_of(run_of({{one_, other_}})).find("different tokenizers"), std::string::npos);
  EXPECT_NE(error_of(run_of({{folder_ / "nothing"}})).find("nothing"), std::string::npos);
  RunConfig large = run_of({{one_}});
  large.sequence_length = 200;
  EXPECT_NE(error_of(large).find("less than one sequence of 201"), std::string::npos);
}

}  // namespace
}  // namespace fathom
