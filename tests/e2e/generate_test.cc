// Goal: `fathom generate` keeps its contract (cli.md) on the embedded model: text, chat, batches,
// limits, errors.
#include <gtest/gtest.h>

#include <sstream>

#include "io/json.h"
#include "tests/support/subprocess.h"
#include "tests/support/temp_dir.h"

namespace fathom::test {
namespace {

std::vector<Json> json_lines(const std::string& text) {
  std::vector<Json> out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    auto json = parse_json(line);
    EXPECT_TRUE(json.ok()) << line;
    out.push_back(json.ok() ? std::move(json).value() : Json());
  }
  return out;
}

const std::vector<std::string> kGreedy = {"generate", "--temperature", "0",   "--max-tokens",
                                          "12",       "--activations", "full"};

RunResult greedy(std::vector<std::string> more, const RunOptions& options = {}) {
  std::vector<std::string> arguments = kGreedy;
  arguments.insert(arguments.end(), more.begin(), more.end());
  return run_fathom(arguments, options);
}

TEST(Generate, OnePromptFromArgumentFileAndStandardInput) {
  const RunResult argument = greedy({"Once upon a time there was a little girl who"});
  EXPECT_EQ(argument.exit_code, 0);
  EXPECT_EQ(argument.err, "");
  EXPECT_TRUE(argument.out.starts_with(" ") && argument.out.ends_with("\n")) << argument.out;
  EXPECT_GT(argument.out.size(), 20u);
  TempDir folder;
  const std::string file =
      folder.write("prompt.txt", "Once upon a time there was a little girl who");
  EXPECT_EQ(greedy({"--prompt-file", file}).out, argument.out);
  EXPECT_EQ(greedy({"-"}, {.input = "Once upon a time there was a little girl who"}).out,
            argument.out);
  EXPECT_EQ(greedy({}, {.input = "Once upon a time there was a little girl who"}).out,
            argument.out);
}

TEST(Generate, TheSameSeedGivesTheSameText) {
  const std::vector<std::string> arguments = {"generate",     "--seed", "5",
                                              "--max-tokens", "20",     "The old man"};
  const RunResult first = run_fathom(arguments);
  EXPECT_EQ(first.exit_code, 0);
  EXPECT_EQ(run_fathom(arguments).out, first.out);
  EXPECT_NE(run_fathom({"generate", "--seed", "6", "--max-tokens", "20", "The old man"}).out,
            first.out);
}

TEST(Generate, StopStringsEndTheTextBeforeThem) {
  const std::string prompt = "Once upon a time there was a little girl who";
  const std::string whole = greedy({prompt}).out;
  // From the middle of one word to the middle of the next.
  const std::string stop = whole.substr(whole.size() / 2, 5);
  EXPECT_EQ(greedy({"--stop", stop, prompt}).out, whole.substr(0, whole.find(stop)) + "\n");
}

TEST(Generate, AFullContextEndsWithLength) {
  TempDir folder;
  const std::string file = folder.write(
      "r.jsonl", R"({"prompt": "Once upon a time", "ignore_eos": true, "temperature": 0})"
                 "\n");
  const RunResult result = run_fathom({"generate", "--context", "32", "--input-file", file});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json line = json_lines(result.out).at(0);
  EXPECT_EQ(line.find("finish_reason")->as_string(), "length");
  EXPECT_EQ(line.find("usage")->find("prompt_tokens")->as_int() +
                line.find("usage")->find("completion_tokens")->as_int(),
            32);
}

TEST(Generate, JsonLinesAnswerInOrderAndBadLinesDoNotStopTheRun) {
  TempDir folder;
  const std::string file = folder.write(
      "r.jsonl",
      R"({"id": "long", "prompt": "The king", "max_tokens": 30, "temperature": 0})"
      "\n"
      R"({"id": "short", "prompt": "The king", "max_tokens": 2, "temperature": 0, "logprobs": 2})"
      "\n"
      "\n"
      R"({"id": 3, "prompt": "x", "temprature": 1})"
      "\n"
      "not json\n"
      R"({"id": "ids", "ids": [0, 453, 607], "max_tokens": 3})"
      "\n"
      R"({"id": "bad", "ids": [0, 99999]})"
      "\n"
      R"({"id": "chat", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4})"
      "\n"
      R"({"id": "two", "prompt": "The", "n": 2, "max_tokens": 2, "seed": 1})"
      "\n");
  const RunResult result = run_fathom({"generate", "--input-file", file});
  EXPECT_EQ(result.exit_code, 1);
  const auto lines = json_lines(result.out);
  ASSERT_EQ(lines.size(), 9u) << result.out;
  EXPECT_EQ(lines[0].find("id")->as_string(), "long");
  EXPECT_EQ(lines[0].find("ids")->as_array().size(), 30u);
  EXPECT_TRUE(lines[0].find("logprobs")->is_null());
  EXPECT_EQ(lines[1].find("id")->as_string(), "short");
  EXPECT_EQ(lines[1].find("logprobs")->as_array().size(), 2u);
  EXPECT_EQ(lines[1].find("top_logprobs")->as_array()[0].as_array().size(), 2u);
  // The first tokens of both are the same, whatever ran beside them.
  EXPECT_EQ(lines[0].find("ids")->as_array()[1].as_int(),
            lines[1].find("ids")->as_array()[1].as_int());
  EXPECT_EQ(lines[2].find("id")->as_int(), 3);
  EXPECT_NE(lines[2].find("error")->find("message")->as_string().find("temprature"),
            std::string::npos);
  EXPECT_EQ(lines[2].find("error")->find("line")->as_int(), 3);
  EXPECT_TRUE(lines[3].find("id")->is_null());
  EXPECT_EQ(lines[3].find("error")->find("line")->as_int(), 4);
  EXPECT_EQ(lines[4].find("ids")->as_array().size(), 3u);
  EXPECT_NE(lines[5].find("error")->find("message")->as_string().find("99999"), std::string::npos);
  EXPECT_EQ(lines[6].find("finish_reason")->as_string(), "length");
  EXPECT_EQ(lines[7].find("index")->as_int(), 0);
  EXPECT_EQ(lines[8].find("index")->as_int(), 1);
}

TEST(Generate, BatchesGiveTheBytesOfSingleRuns) {
  TempDir folder;
  std::string requests;
  for (int i = 0; i < 6; ++i) {
    requests += R"({"id": )" + std::to_string(i) + R"(, "prompt": "The )" +
                std::string(static_cast<size_t>(i), 'a') +
                R"( day", "max_tokens": 10, "seed": 3, "logprobs": true})"
                "\n";
  }
  const std::string file = folder.write("r.jsonl", requests);
  const std::string one =
      run_fathom({"generate", "--batch", "1", "--threads", "1", "--input-file", file}).out;
  EXPECT_EQ(json_lines(one).size(), 6u);
  EXPECT_EQ(run_fathom({"generate", "--batch", "6", "--threads", "2", "--input-file", file}).out,
            one);
}

TEST(Generate, OutputFilesAreWholeAndNeverOverwrittenUnasked) {
  TempDir folder;
  const std::string prompts = folder.write("p.txt", "The king\nThe queen\n");
  const std::string out = folder.file("out.jsonl");
  EXPECT_EQ(run_fathom({"generate", "--max-tokens", "3", "--input-file", prompts, "--output", out})
                .exit_code,
            0);
  EXPECT_EQ(json_lines(read_file(out)).size(), 2u);
  const RunResult again =
      run_fathom({"generate", "--max-tokens", "3", "--input-file", prompts, "--output", out});
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_NE(again.err.find("--force"), std::string::npos) << again.err;
  EXPECT_EQ(run_fathom({"generate", "--max-tokens", "3", "--input-file", prompts, "--output", out,
                        "--force"})
                .exit_code,
            0);
}

TEST(Generate, ChatAppliesTheTemplate) {
  TempDir folder;
  const std::string file = folder.write(
      "r.jsonl",
      R"({"messages": [{"role": "user", "content": "Who are you?"}], "max_tokens": 12, "temperature": 0})"
      "\n");
  const RunResult lines = run_fathom({"generate", "--activations", "full", "--input-file", file});
  const RunResult chat = greedy({"--chat", "Who are you?"});
  EXPECT_EQ(chat.exit_code, 0) << chat.err;
  EXPECT_EQ(json_lines(lines.out).at(0).find("text")->as_string() + "\n", chat.out);
}

TEST(Generate, TextOfUsersBecomesControlTokensOnlyWhenAskedFor) {
  // In the prompt as text "<｜User｜>" is several tokens, as a control token it is one.
  const std::string line =
      R"({"messages": [{"role": "user", "content": "a<｜User｜>b"}], "max_tokens": 1})"
      "\n";
  TempDir folder;
  const std::string file = folder.write("r.jsonl", line);
  const auto prompt_tokens = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments = {"generate", "--input-file", file};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return json_lines(run_fathom(arguments).out)
        .at(0)
        .find("usage")
        ->find("prompt_tokens")
        ->as_int();
  };
  EXPECT_EQ(prompt_tokens({"--control-tokens"}), 6);  // BOS, User, a, User, b, Assistant
  EXPECT_GT(prompt_tokens({}), 6);
}

TEST(Generate, WrongUseIsSaidInOneSentence) {
  const std::vector<std::vector<std::string>> cases = {
      {"generate", "--temperature", "-1", "x"}, {"generate", "--top-p", "0", "x"},
      {"generate", "--max-tokens", "0", "x"},   {"generate", "--prompt-file", "f", "x"},
      {"generate", "--system", "s", "x"},       {"generate", "--logit-bias", "7", "x"},
      {"generate", "--isa", "mmx", "x"},        {"generate", "--kv-dtype", "f64", "x"},
      {"generate", "--seed", "-1", "x"},
  };
  for (const auto& arguments : cases) {
    const RunResult result = run_fathom(arguments);
    EXPECT_EQ(result.exit_code, 2) << arguments[1];
    EXPECT_EQ(result.out, "");
    EXPECT_TRUE(result.err.starts_with("fathom: ")) << result.err;
  }
  const RunResult missing = run_fathom({"generate", "--model", "/nowhere", "x"});
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_NE(missing.err.find("/nowhere"), std::string::npos);
  EXPECT_EQ(run_fathom({"generate", "--context", "4096", "x"}).exit_code, 1);  // the model has 512
  EXPECT_EQ(run_fathom({"generate", "--max-memory", "1MB", "x"}).exit_code, 1);
  EXPECT_EQ(
      run_fathom({"generate", "--context", "4", "a prompt of more than four tokens"}).exit_code, 1);
}

}  // namespace
}  // namespace fathom::test
