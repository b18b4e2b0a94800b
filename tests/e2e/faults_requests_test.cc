// Goal: a line of input that is wrong is answered by one line that says why; the lines after it are
// answered as ever. Method: one good line before and one after each wrong one, through the program
// itself.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <ostream>

#include "tests/support/faults.h"
#include "tests/support/json_lines.h"
#include "tests/support/subprocess.h"

namespace fathom::test {
namespace {

struct BadLine {
  std::string name;
  std::string line;
  std::vector<std::string> says;
  std::vector<std::string> command;
  std::string good;  // before and after it
};
std::ostream& operator<<(std::ostream& out, const BadLine& bad) { return out << bad.name; }

std::string many(int64_t n, const std::string& text) {
  std::string out;
  for (int64_t i = 0; i < n; ++i) out += text;
  return out;
}

std::vector<BadLine> lines_for_all() {
  return {
      {"IsNoJson", "not json", {"JSON"}, {}, {}},
      {"IsCut", "{\"text\": \"a", {"JSON"}, {}, {}},
      {"IsAList", "[1]", {"an array"}, {}, {}},
      {"IsANumber", "7", {"an integer"}, {}, {}},
      {"IsTwoDocuments", "{} {}", {"JSON"}, {}, {}},
      {"IsNestedDeep", std::string(100000, '['), {"nested"}, {}, {}},
      {"IsNotUtf8", "{\"text\": \"\xff\"}", {"UTF-8"}, {}, {}},
      {"SaysAFieldTwice", "{\"text\": \"a\", \"text\": \"b\"}", {"text", "twice"}, {}, {}},
      {"HoldsALoneSurrogate", "{\"text\": \"\\ud800\"}", {"JSON"}, {}, {}},
      {"HoldsNan", "{\"ids\": [NaN]}", {"JSON"}, {}, {}},
      {"HoldsANumberBeyondDoubles", "{\"ids\": [1e400]}", {}, {}, {}},
  };
}

std::vector<BadLine> score_lines() {
  return {
      {"NothingToScore", "{}", {"text", "ids"}, {}, {}},
      {"TextAndIds", "{\"text\": \"a\", \"ids\": [1]}", {"text", "ids"}, {}, {}},
      {"UnknownField", "{\"text\": \"a\", \"temprature\": 1}", {"temprature"}, {}, {}},
      {"TextIsANumber", "{\"text\": 7}", {"text", "an integer"}, {}, {}},
      {"IdsAreAText", "{\"ids\": \"1 2\"}", {"ids", "a string"}, {}, {}},
      {"IdsAreEmpty", "{\"ids\": []}", {"no tokens"}, {}, {}},
      {"IdNegative", "{\"ids\": [0, -1]}", {"-1"}, {}, {}},
      {"IdBeyondTheVocabulary", "{\"ids\": [0, 4096]}", {"4096"}, {}, {}},
      {"IdBeyondInt32", "{\"ids\": [0, 2147483648]}", {"2147483648"}, {}, {}},
      {"IdBeyondInt64", "{\"ids\": [0, 18446744073709551616]}", {"1844674407370955161"}, {}, {}},
      {"IdWithAFraction", "{\"ids\": [0, 1.0]}", {"1.0"}, {}, {}},
      {"IdIsNull", "{\"ids\": [0, null]}", {"null"}, {}, {}},
      {"LastOfAMillionIdsIsWrong",
       "{\"ids\": [" + many(1'000'000, "0,") + "9999]}",
       {"9999"},
       {},
       {}},
  };
}

std::vector<BadLine> tokenize_lines() {
  return {
      {"TextMissing", "{}", {"text"}, {}, {}},
      {"TextIsNull", "{\"text\": null}", {"text"}, {}, {}},
      {"UnknownField", "{\"text\": \"a\", \"txt\": \"b\"}", {"txt"}, {}, {}},
  };
}

// One field of a request that is wrong.
BadLine wrong(std::string name, const std::string& field, std::vector<std::string> says) {
  return {std::move(name),
          "{\"prompt\": \"a\", \"max_tokens\": 1, " + field + "}",
          std::move(says),
          {},
          {}};
}

std::vector<BadLine> generate_lines() {
  return {
      {"NoPrompt", "{}", {"prompt", "messages", "ids"}, {}, {}},
      {"PromptAndIds", "{\"prompt\": \"a\", \"ids\": [1]}", {"prompt", "ids"}, {}, {}},
      {"PromptIsANumber", "{\"prompt\": 7}", {"prompt"}, {}, {}},
      {"IdsAreEmpty", "{\"ids\": []}", {}, {}, {}},
      {"IdBeyondTheVocabulary", "{\"ids\": [0, 4096]}", {"4096"}, {}, {}},
      {"PromptLongerThanTheContext",
       "{\"ids\": [" + many(1200, "5,") + "5]}",
       {"1201", "1024"},
       {},
       {}},
      {"MessagesAreAText", "{\"messages\": \"hello\"}", {"messages"}, {}, {}},
      {"ToolsWithoutMessages", "{\"prompt\": \"a\", \"tools\": []}", {"tools", "messages"}, {}, {}},
      wrong("UnknownField", "\"temprature\": 1", {"temprature"}),
      wrong("ChoicesZero", "\"n\": 0", {"n is 0"}),
      wrong("ChoicesNegative", "\"n\": -1", {"-1"}),
      wrong("ChoicesABillion", "\"n\": 1000000000", {"1000000000"}),
      {"MaxTokensNegative",
       "{\"prompt\": \"a\", \"max_tokens\": -1}",
       {"max_tokens", "-1"},
       {},
       {}},
      wrong("TemperatureNegative", "\"temperature\": -1", {"temperature", "-1"}),
      wrong("TemperatureIsAText", "\"temperature\": \"hot\"", {"temperature"}),
      wrong("TemperatureHuge", "\"temperature\": 1e30", {"temperature"}),
      wrong("TopPZero", "\"top_p\": 0", {"top_p"}),
      wrong("TopKNegative", "\"top_k\": -2", {"top_k", "-2"}),
      wrong("MinPTwo", "\"min_p\": 2", {"min_p", "2"}),
      wrong("RepetitionPenaltyZero", "\"repetition_penalty\": 0", {"repetition_penalty"}),
      wrong("BiasOfIdMinusOne", "\"logit_bias\": {\"-1\": 1}", {"logit_bias", "-1"}),
      wrong("BiasBeyondTheVocabulary", "\"logit_bias\": {\"4096\": 1}", {"logit_bias", "4096"}),
      wrong("BiasOfAWord", "\"logit_bias\": {\"yes\": 1}", {"logit_bias", "yes"}),
      wrong("BiasBeyondF32", "\"logit_bias\": {\"5\": 1e308}", {"logit_bias"}),
      wrong("StopIsEmpty", "\"stop\": [\"\"]", {"stop", "empty"}),
      wrong("StopsWithoutEnd", "\"stop\": [" + many(1'000'000, "\"a\",") + "\"b\"]",
            {"stop", "1000001"}),
      wrong("StopIsANumber", "\"stop\": 7", {"stop"}),
      wrong("StopIdBeyondTheVocabulary", "\"stop_token_ids\": [4096]", {"stop_token_ids", "4096"}),
      wrong("LogprobsNegative", "\"logprobs\": -1", {"logprobs", "-1"}),
      wrong("TopLogprobsNegative", "\"top_logprobs\": -1", {"top_logprobs", "-1"}),
      wrong("MinTokensNegative", "\"min_tokens\": -5", {"min_tokens", "-5"}),
      wrong("SeedBeyondInt64", "\"seed\": 18446744073709551616", {"seed"}),
      wrong("IgnoreEosIsAText", "\"ignore_eos\": \"yes\"", {"ignore_eos"}),
  };
}

void add(std::vector<BadLine>& all, std::vector<BadLine> lines,
         const std::vector<std::string>& command, const std::string& good) {
  for (BadLine& line : lines) {
    std::string verb = command.front();
    verb[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(verb[0])));
    line.name += "_" + verb;
    line.command = command;
    line.good = good;
    all.push_back(std::move(line));
  }
}

std::vector<BadLine> all_lines() {
  std::vector<BadLine> all;
  const std::string scored = "{\"ids\": [0, 5]}";
  const std::string text = "{\"text\": \"a\"}";
  const std::string messages = "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}";
  add(all, lines_for_all(), {"score"}, scored);
  add(all, lines_for_all(), {"tokenize", "--jsonl"}, text);
  add(all, lines_for_all(), {"template"}, messages);
  add(all, score_lines(), {"score"}, scored);
  add(all, tokenize_lines(), {"tokenize", "--jsonl"}, text);
  const std::string greedy = "{\"ids\": [0, 453], \"max_tokens\": 2, \"temperature\": 0}";
  add(all, lines_for_all(), {"generate", "--input-file", "-"}, greedy);
  add(all, generate_lines(), {"generate", "--input-file", "-"}, greedy);
  return all;
}

class RequestFault : public ::testing::TestWithParam<BadLine> {};

TEST_P(RequestFault, IsAnsweredByOneLineAndTheRunGoesOn) {
  const BadLine& bad = GetParam();
  const RunResult result =
      run_fathom(bad.command, {.input = bad.good + "\n" + bad.line + "\n" + bad.good + "\n"});
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_TRUE(result.err.starts_with("fathom: ")) << result.err;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  const std::vector<Json> answers = json_lines(result.out);
  ASSERT_EQ(answers.size(), 3u) << result.out << result.err;
  const std::string message = error_message(answers[1]);
  RecordProperty("sentence", message);
  EXPECT_FALSE(message.empty());
  EXPECT_LE(message.size(), 600u) << message;
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  for (const std::string& part : bad.says)
    EXPECT_NE(message.find(part), std::string::npos) << "no '" << part << "' in: " << message;
  EXPECT_EQ(answers[0].find("error"), nullptr) << result.out;
  EXPECT_EQ(answers[0].dump(), answers[2].dump());
}

std::string line_name(const ::testing::TestParamInfo<BadLine>& info) { return info.param.name; }
INSTANTIATE_TEST_SUITE_P(Faults, RequestFault, ::testing::ValuesIn(all_lines()), line_name);

}  // namespace
}  // namespace fathom::test
