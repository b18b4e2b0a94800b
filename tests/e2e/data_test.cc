// Goal: text becomes a tokenizer, and with it shards, through the program, and what is wrong is one
// sentence. Method: small files of every kind; the shards are read back with the program's ids.
#include <gtest/gtest.h>

#include <filesystem>

#include "io/json.h"
#include "tests/support/packed.h"
#include "tests/support/subprocess.h"
#include "tests/support/temp_folder.h"
#include "train/shards.h"

namespace fathom::test {
namespace {

using testing_support::put_file;
using testing_support::TempFolder;

const std::string kDefault = std::string(FATHOM_TESTDATA) + "/../models/default";

std::vector<int32_t> ids_of(const std::string& folder, Split split) {
  const auto shards = Shards::open(folder, split);
  EXPECT_TRUE(shards.ok()) << shards.error().message;
  std::vector<int32_t> ids(static_cast<size_t>(shards->n_tokens()));
  EXPECT_TRUE(ids.empty() || shards->read(0, ids, {}).ok());
  return ids;
}

TEST(Data, TextsOfEveryKindBecomeShards) {
  TempFolder folder;
  put_file(folder / "a.txt", "The little fox went home.");
  put_file(folder / "b.jsonl.xz",
           pack_xz("{\"text\": \"A hen.\"}\n{\"text\": \"A hen.\"}\n"
                   "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}, "
                   "{\"role\": \"assistant\", \"content\": \"Ho\"}]}\n"));
  const RunResult made = run_fathom({"data", folder / "a.txt", folder / "b.jsonl.xz", "--tokenizer",
                                     kDefault, "--output", folder / "shards", "--json"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const Json summary = parse_json(made.out).value();
  EXPECT_EQ(summary.find("duplicates")->as_int(), 1);
  EXPECT_EQ(summary.find("train")->find("documents")->as_int(), 3);
  std::string ids;
  for (const int32_t id : ids_of(folder / "shards", Split::kTrain)) ids += str_cat(id, " ");
  put_file(folder / "ids", ids);
  const RunResult text = run_fathom({"tokenize", "--decode", folder / "ids"});
  EXPECT_EQ(text.out,
            "<｜begin▁of▁sentence｜>The little fox went home.<｜end▁of▁sentence｜>"
            "<｜begin▁of▁sentence｜>A hen.<｜end▁of▁sentence｜>"
            "<｜begin▁of▁sentence｜><｜User｜>Hi<｜Assistant｜>Ho<｜end▁of▁sentence｜>");

  // The same again: refused, then the same bytes.
  const std::vector<std::string> again = {
      "data",   folder / "a.txt", folder / "b.jsonl.xz", "--tokenizer",
      kDefault, "--output",       folder / "shards",     "--threads",
      "1"};
  const RunResult refused = run_fathom(again);
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_NE(refused.err.find("--force"), std::string::npos) << refused.err;
  const auto before = ids_of(folder / "shards", Split::kTrain);
  std::vector<std::string> forced = again;
  forced.emplace_back("--force");
  EXPECT_EQ(run_fathom(forced).exit_code, 0);
  EXPECT_EQ(ids_of(folder / "shards", Split::kTrain), before);
}

TEST(Data, ATokenizerOfItsOwnText) {
  TempFolder folder;
  std::string text;
  for (int i = 0; i < 200; ++i)
    text += str_cat("The fox and the hen met for the ", i, "th time.\n\n");
  put_file(folder / "a.txt", text);
  const RunResult made = run_fathom({"tokenizer", "train", folder / "a.txt", "--vocab-size", "300",
                                     "--output", folder / "tokenizer"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  EXPECT_NE(made.out.find("300 tokens"), std::string::npos) << made.out;
  const RunResult data = run_fathom({"data", folder / "a.txt", "--tokenizer", folder / "tokenizer",
                                     "--output", folder / "shards"});
  EXPECT_EQ(data.exit_code, 0) << data.err;
  for (const int32_t id : ids_of(folder / "shards", Split::kTrain)) EXPECT_LT(id, 300);
  const RunResult refused = run_fathom({"tokenizer", "train", folder / "a.txt", "--vocab-size",
                                        "300", "--output", folder / "tokenizer"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_NE(refused.err.find("--force"), std::string::npos) << refused.err;
}

TEST(Data, StandardInputIsWhatItBeginsWith) {
  TempFolder folder;
  const std::string lines =
      "{\"text\": \"A hen.\"}\n{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}\n";
  int n = 0;
  for (const auto& [input, documents] :
       {std::pair{lines, 2}, {pack_xz(lines), 2}, {std::string("Plain text.\n"), 1}}) {
    for (const bool dash : {true, false}) {
      const std::string output = folder / str_cat("shards", n++);
      std::vector<std::string> arguments = {"data",     "--tokenizer", kDefault,
                                            "--output", output,        "--json"};
      if (dash) arguments.insert(arguments.begin() + 1, "-");
      const RunResult made = run_fathom(arguments, {.input = input});
      ASSERT_EQ(made.exit_code, 0) << made.err;
      const Json summary = parse_json(made.out).value();
      EXPECT_EQ(summary.find("train")->find("documents")->as_int(), documents);
    }
  }
  // Only "Hi" and "A hen." are words of the text.
  const RunResult tokenizer = run_fathom(
      {"tokenizer", "train", "--vocab-size", "400", "--output", folder / "t"}, {.input = lines});
  ASSERT_EQ(tokenizer.exit_code, 0) << tokenizer.err;
  EXPECT_NE(tokenizer.out.find(" in 8 bytes"), std::string::npos) << tokenizer.out;
}

TEST(Data, ConversationsTakeNoMoreMemoryThanTexts) {
  TempFolder folder;
  std::string line = R"({"messages": [{"role": "user", "content": ")";
  while (line.size() < 16'000) line += str_cat("word ", line.size(), " ");
  line += "\"}]}\n";
  std::string lines;
  while (lines.size() < 60'000'000) lines += line;
  put_file(folder / "a.jsonl", lines);
  const std::string peak_of =
      "import resource, subprocess, sys\n"
      "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
      "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";
  const RunResult made =
      run({"python3", "-c", peak_of, FATHOM_BINARY, "data", folder / "a.jsonl", "--tokenizer",
           kDefault, "--output", folder / "shards", "--threads", "2"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  // The file and its ids together are more than 100 MB; 8 MiB of it are held at a time.
  EXPECT_LT(std::stoll(made.out), 90'000) << "KB";
}

void expect_sentence(const std::vector<std::string>& arguments, int exit_code,
                     const std::string& what) {
  const RunResult result = run_fathom(arguments);
  EXPECT_EQ(result.exit_code, exit_code) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_NE(result.err.find(what), std::string::npos) << result.err;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
}

TEST(Data, WhatIsWrongIsOneSentence) {
  TempFolder folder;
  put_file(folder / "bad.jsonl", "{\"text\": \"fine\"}\n{\"txt\": \"no\"}\n");
  put_file(folder / "empty.txt", " \n");
  put_file(folder / "cut.jsonl.xz", pack_xz("{\"text\": \"some text\"}\n").substr(0, 40));
  const auto data = [&](const std::string& file) {
    return std::vector<std::string>{"data",   file,       "--tokenizer",
                                    kDefault, "--output", folder / "out"};
  };
  expect_sentence(data(folder / "bad.jsonl"), 1, "bad.jsonl, line 2");
  expect_sentence(data(folder / "empty.txt"), 1, "no text");
  expect_sentence(data(folder / "cut.jsonl.xz"), 1, "damaged or cut short");
  put_file(folder / "role.jsonl", "\n{\"messages\": [{\"role\": \"king\", \"content\": \"x\"}]}\n");
  expect_sentence(data(folder / "role.jsonl"), 1,
                  "role.jsonl, line 2: messages[0].role is \"king\"");
  expect_sentence({"tokenizer", "train", folder / "role.jsonl", "--vocab-size", "400", "--output",
                   folder / "t"},
                  1, "role.jsonl, line 2: messages[0].role is \"king\"");
  expect_sentence(data(folder / "none.txt"), 1, "cannot open");
  EXPECT_FALSE(std::filesystem::exists(folder / "out/index.json"));
  expect_sentence({"data", folder / "bad.jsonl", "--tokenizer", folder.path(), "--output", "x"}, 1,
                  "neither tokenizer.json");
  expect_sentence(
      {"tokenizer", "train", folder / "empty.txt", "--vocab-size", "100", "--output", folder / "t"},
      2, "vocab-size");
  expect_sentence({"tokenizer", "make", "x", "--vocab-size", "400", "--output", "t"}, 2,
                  "fathom tokenizer train");
}

}  // namespace
}  // namespace fathom::test
