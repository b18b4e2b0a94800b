// Goal: `fathom tokenize` keeps its contract. Method: the program on a folder that holds a small
// tokenizer only.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/subprocess.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tokenizers.h"

namespace fathom::test {
namespace {

class Tokenize : public testing::Test {
 protected:
  Tokenize() {
    folder_.write("tokenizer.json", small_tokenizer_json().dump());
    folder_.write("tokenizer_config.json", R"({"bos_token": "<s>", "add_bos_token": true})");
  }
  RunResult run_on(const std::string& input, std::vector<std::string> options) {
    options.insert(options.begin(), {"tokenize", "--model", folder_.path()});
    return run_fathom(options, {.input = input, .environment = {}, .directory = ""});
  }
  TempDir folder_;
};

TEST_F(Tokenize, PlainTextToIdsOnOneLineAndBack) {
  const RunResult ids = run_on("hell\n<s>", {});
  EXPECT_EQ(ids.out, "259 10 260\n");
  EXPECT_EQ(run_on("hell", {"--add-special"}).out, "260 259\n");
  EXPECT_EQ(run_on("<s>", {"--no-special"}).out, "60 115 62\n");
  EXPECT_EQ(run_on(ids.out, {"--decode"}).out, "hell\n<s>");
  EXPECT_EQ(run_on("260, 259", {"--decode", "--skip-special"}).out, "hell");
  EXPECT_EQ(run_on("", {}).out, "\n");
}

TEST_F(Tokenize, JsonLines) {
  const RunResult result = run_on(
      "{\"text\":\"hell\"}\n{\"text\":1}\n{\"text\":\"he\",\"x\":1}\nnonsense\n{\"text\":\"he\"}\n",
      {"--jsonl"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.out.find("{\"ids\":[259]}\n{\"error\":{\"message\":"), 0u) << result.out;
  EXPECT_NE(result.out.find("\"line\":3}}\n{\"ids\":[256]}\n"), std::string::npos) << result.out;
  EXPECT_EQ(
      run_on("{\"ids\":[260,259],\"skip_special_tokens\":true}\n", {"--jsonl", "--decode"}).out,
      "{\"text\":\"hell\"}\n");
}

TEST_F(Tokenize, FaultsAreOneSentence) {
  for (const auto& [input, options] : std::vector<std::pair<std::string, std::vector<std::string>>>{
           {"a\xff", {}},
           {"1 x", {"--decode"}},
           {"-1", {"--decode"}},
           {"99999999999", {"--decode"}}}) {
    const RunResult result = run_on(input, options);
    EXPECT_EQ(result.exit_code, 1) << input;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }
  EXPECT_EQ(run_on("1", {"--decode", "--no-special"}).exit_code, 2);
}

}  // namespace
}  // namespace fathom::test
