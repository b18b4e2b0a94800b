// Goal: `fathom load` measures a real server and says in one sentence what is wrong with one that
// it cannot measure. Method: the program against `fathom serve`. Times are never looked at.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/e2e/running_server.h"
#include "tests/support/subprocess.h"
#include "tests/support/temp_dir.h"

namespace fathom::test {
namespace {

std::string url_of(const RunningServer& server) {
  return "http://127.0.0.1:" + std::to_string(server.port());
}

class Load : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { server_ = new RunningServer(); }
  static void TearDownTestSuite() {
    delete server_;
    server_ = nullptr;
  }
  static RunResult load(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"load", url_of(*server_)});
    return run_fathom(std::move(arguments));
  }
  static RunningServer* server_;
};
RunningServer* Load::server_ = nullptr;

Json document(const RunResult& result) {
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  Result<Json> json = parse_json(result.out);
  EXPECT_TRUE(json.ok()) << result.out;
  return json.ok() ? std::move(json).value() : Json();
}

// The i-th server's member; null if there is none.
Json server_value(const Json& json, size_t i, std::string_view name) {
  const Json* const servers = json.find("servers");
  if (servers == nullptr || servers->as_array().size() <= i) return {};
  const Json* const found = servers->as_array()[i].find(name);
  return found == nullptr ? Json() : *found;
}

int64_t n_lines(const std::string& text) { return std::count(text.begin(), text.end(), '\n'); }

TEST_F(Load, CountsWhatTheServerCounts) {
  const Json json =
      document(load({"--requests", "12", "--concurrency", "4", "--prompt-tokens", "40-60",
                     "--answer-tokens", "8", "--ignore-eos", "--check", "--json"}));
  const auto value = [&](const char* name) { return server_value(json, 0, name); };
  EXPECT_EQ(value("model").as_string(), "fathom-default");
  EXPECT_EQ(value("completed").as_int(), 12);
  EXPECT_EQ(value("failed").as_int(), 0);
  EXPECT_EQ(value("completion_tokens").as_int(), 12 * 8);
  EXPECT_EQ(value("tokens_counted_by").as_string(), "server");
  EXPECT_EQ(value("peak_in_flight").as_int(), 4);
  // The words' lengths vary, so that a prompt is as long as asked for only on average.
  const Json length = value("prompt_length");
  EXPECT_GE(length.find("mean")->as_double(), 35);
  EXPECT_LE(length.find("mean")->as_double(), 65);
  // Six prompts, each answered twice among other neighbours: the same bytes.
  EXPECT_EQ(value("check").find("compared")->as_int(), 6);
  EXPECT_EQ(value("check").find("mismatched")->as_int(), 0);
  for (const char* name :
       {"time_to_first_token_ms", "time_between_tokens_ms", "time_per_token_ms", "whole_answer_ms"})
    for (const char* column : {"n", "p50", "p90", "p99", "max", "mean"})
      EXPECT_TRUE(value(name).find(column)->is_number()) << name << column;
  EXPECT_EQ(json.find("load")->find("requests")->as_int(), 12);
}

TEST_F(Load, SharedPrefixesShowAsCachedTokens) {
  const Json json = document(load({"--requests", "4", "--concurrency", "1", "--prefix-tokens",
                                   "200", "--prompt-tokens", "20", "--answer-tokens", "2", "--json",
                                   "--warmup", "0", "--endpoint", "completions", "--seed", "77"}));
  EXPECT_EQ(server_value(json, 0, "completed").as_int(), 4);
  EXPECT_GE(server_value(json, 0, "cached_tokens").as_int(), 3 * 128);
  EXPECT_GE(server_value(json, 0, "prompt_tokens").as_int(), 4 * 180);
}

TEST_F(Load, TablesAndAPictureOfTwoServers) {
  const TempDir folder;
  const std::string plot = folder.file("load.svg");
  const std::vector<std::string> arguments = {
      url_of(*server_) + "/v1", "--requests", "6",      "--rounds", "2", "--rate", "50",
      "--answer-tokens",        "4",          "--plot", plot};
  const RunResult result = load(arguments);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  for (const char* part : {"load      6 requests, 50 a second (Poisson), in 2 rounds", "server 1",
                           "server 2", "2 to 1", "time to first token, ms", "answers"})
    EXPECT_NE(result.out.find(part), std::string::npos) << part << result.out;
  EXPECT_EQ(read_file(plot).find("<svg "), 0u);
  const RunResult again = load(arguments);
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_NE(again.err.find("--force"), std::string::npos) << again.err;
}

TEST_F(Load, PromptsOfAFile) {
  const TempDir folder;
  const std::string file =
      folder.write("prompts.jsonl",
                   "{\"prompt\": \"Once upon a time\", \"max_tokens\": 3, \"ignore_eos\": true}\n"
                   "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}], \"max_tokens\": 5, "
                   "\"ignore_eos\": true}\n");
  const Json json = document(load({"--requests", "4", "--prompts", file, "--json"}));
  EXPECT_EQ(server_value(json, 0, "completion_tokens").as_int(), 2 * (3 + 5));
  const RunResult wrong = load(
      {"--prompts", folder.write("wrong.jsonl", "{\"prompt\": \"a\"}\n\n{\"text\": \"b\"}\n")});
  EXPECT_EQ(wrong.exit_code, 1);
  EXPECT_NE(wrong.err.find("line 3"), std::string::npos) << wrong.err;
}

TEST_F(Load, CtrlCReportsWhatThereIs) {
  Terminal terminal({FATHOM_BINARY, "load", url_of(*server_), "--duration", "60s",
                     "--answer-tokens", "8", "--concurrency", "2", "--prompt-tokens", "20"});
  EXPECT_TRUE(terminal.expect("measuring")) << terminal.output();
  terminal.type("\x03");
  EXPECT_EQ(terminal.wait(), 130);
  EXPECT_NE(terminal.output().find("whole answer, ms"), std::string::npos) << terminal.output();
}

TEST_F(Load, WrongUsageExitsWith2) {
  const std::vector<std::vector<std::string>> wrong = {
      {"--requests", "0"},
      {"--concurrency", "5000"},
      {"--rate", "-1"},
      {"--prompt-tokens", "9-3"},
      {"--answer-tokens", "x"},
      {"--duration", "soon"},
      {"--check", "--temperature", "1"},
      {"--prefix-groups", "2"},
      {"--endpoint", "embeddings"},
      {"--prompts", "x.jsonl", "--prompt-tokens", "5"},
      {"--model", "a", "--model", "b"},
      {"ftp://example.org"}};
  for (const auto& arguments : wrong) {
    const RunResult result = load(arguments);
    EXPECT_EQ(result.exit_code, 2) << arguments[0] << result.err;
    EXPECT_EQ(n_lines(result.err), 1) << result.err;
    EXPECT_EQ(result.out, "");
  }
  EXPECT_EQ(run_fathom({"load"}).exit_code, 2);
}

TEST_F(Load, EveryRequestFails) {
  const RunResult result = load({"--requests", "3", "--prompt-tokens", "5000", "--warmup", "0"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(n_lines(result.err), 1) << result.err;
  EXPECT_NE(result.err.find("answers with status 400"), std::string::npos) << result.err;
}

TEST(LoadFaults, NoServerThere) {
  const RunResult result = run_fathom({"load", "http://127.0.0.1:1"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err,
            "fathom: http://127.0.0.1:1 unreachable: cannot connect to 127.0.0.1:1: Connection "
            "refused; is the server running there?\n");
}

TEST(LoadFaults, AKeyIsNeeded) {
  const RunningServer server({"--api-key", "secret"});
  const std::vector<std::string> arguments = {
      "load", url_of(server), "--requests", "2", "--answer-tokens", "2", "--prompt-tokens", "8"};
  const RunResult none = run_fathom(arguments);
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_EQ(n_lines(none.err), 1);
  for (const char* part : {"answers with status 401", "--api-key"})
    EXPECT_NE(none.err.find(part), std::string::npos) << none.err;
  RunOptions options;
  options.environment = {{"FATHOM_API_KEY", "secret"}};
  EXPECT_EQ(run_fathom(arguments, options).exit_code, 0);
}

}  // namespace
}  // namespace fathom::test
