// Goal: `fathom score` keeps its contract (cli.md): lines, texts, windows, kept logits and traces.
#include <gtest/gtest.h>

#include <cmath>
#include <sstream>

#include "io/json.h"
#include "io/mapped_file.h"
#include "io/safetensors.h"
#include "tests/support/subprocess.h"
#include "tests/support/temp_dir.h"

namespace fathom::test {
namespace {

Json first_line(const std::string& text) {
  auto json = parse_json(text.substr(0, text.find('\n')));
  EXPECT_TRUE(json.ok()) << text;
  return json.ok() ? std::move(json).value() : Json();
}

TEST(Score, ALineOfTextOrIds) {
  const RunResult text = run_fathom({"score"}, {.input = R"({"text": "The king's daughter"})"
                                                         "\n"});
  ASSERT_EQ(text.exit_code, 0) << text.err;
  const Json line = first_line(text.out);
  const auto& ids = line.find("ids")->as_array();
  const auto& logprobs = line.find("logprobs")->as_array();
  EXPECT_EQ(ids[0].as_int(), 0);  // BOS, as tokenizer_config.json says
  ASSERT_EQ(ids.size(), logprobs.size());
  EXPECT_TRUE(logprobs[0].is_null());
  double nll = 0;
  for (size_t i = 1; i < logprobs.size(); ++i) nll -= logprobs[i].as_double();
  EXPECT_NEAR(line.find("nll")->as_double(), nll, 1e-6);
  EXPECT_EQ(line.find("n_tokens")->as_int(), static_cast<int64_t>(ids.size()) - 1);
  EXPECT_EQ(line.find("n_bytes")->as_int(), 19);

  Json by_ids = Json::object();
  by_ids.set("ids", *line.find("ids"));
  const RunResult same = run_fathom({"score", "-"}, {.input = by_ids.dump() + "\n"});
  EXPECT_EQ(first_line(same.out).find("logprobs")->dump(), line.find("logprobs")->dump());
  EXPECT_TRUE(first_line(same.out).find("n_bytes")->is_null());
}

TEST(Score, BadLinesAreReportedAndTheRunGoesOn) {
  const RunResult result =
      run_fathom({"score"}, {.input = "{\"text\": 3}\n{\"ids\": [0, -1]}\n{\"ids\": "
                                      "[]}\n{\"word\": \"x\"}\n{}\n{\"text\": \"fine\"}\n"});
  EXPECT_EQ(result.exit_code, 1);
  std::istringstream in(result.out);
  std::string line;
  for (int64_t i = 0; i < 5; ++i) {
    std::getline(in, line);
    const Json json = parse_json(line).value();
    ASSERT_NE(json.find("error"), nullptr) << line;
    EXPECT_EQ(json.find("error")->find("line")->as_int(), i);
  }
  std::getline(in, line);
  EXPECT_NE(parse_json(line)->find("logprobs"), nullptr);
}

TEST(Score, APlainTextIsScoredInWindows) {
  TempDir folder;
  std::string story;
  for (int i = 0; i < 200; ++i)
    story += "The king's daughter went to the shore and was very sorry. ";
  const std::string file = folder.write("story.txt", story);
  const RunResult result = run_fathom({"score", "--json", "--context", "128", file});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json json = first_line(result.out);
  EXPECT_EQ(json.find("n_bytes")->as_int(), static_cast<int64_t>(story.size()));
  const double nll = json.find("nll")->as_double();
  EXPECT_NEAR(json.find("bits_per_byte")->as_double(),
              nll / std::log(2.0) / static_cast<double>(story.size()), 1e-9);
  EXPECT_NEAR(json.find("perplexity")->as_double(),
              std::exp(nll / json.find("n_tokens")->as_double()), 1e-6);
  const RunResult human = run_fathom({"score", "--context", "128", file});
  EXPECT_NE(human.out.find("bits per byte"), std::string::npos);
}

TEST(Score, APlainTextThatIsNotUtf8IsRefused) {
  TempDir folder;
  const RunResult result = run_fathom({"score", folder.write("latin.txt", "a na\xefve text")});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.out, "");
  EXPECT_NE(result.err.find("latin.txt is not UTF-8 at byte 4"), std::string::npos) << result.err;
}

TEST(Score, SummaryIsOneLineForAll) {
  const RunResult result = run_fathom({"score", "--summary"},
                                      {.input = "{\"text\": \"one\"}\n{\"text\": \"and two\"}\n"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(first_line(result.out).find("n_lines")->as_int(), 2);
  EXPECT_EQ(result.out.find('\n'), result.out.size() - 1);
}

TEST(Score, KeepsLogitsAndTraceOfEachLine) {
  TempDir folder;
  const std::string input =
      "{\"ids\": [0, 5, 9]}\n\n{\"ids\": [0]}\n{\"bad\": 1}\n{\"ids\": [3, 4, 5, 6]}\n";
  const RunResult result = run_fathom(
      {"score", "--logits", folder.file("l.safetensors"), "--trace", folder.file("t.safetensors")},
      {.input = input});
  EXPECT_EQ(result.exit_code, 1);
  const auto shapes = [](const std::string& path) {
    const auto file = MappedFile::open(path);
    EXPECT_TRUE(file.ok()) << path;
    std::string out;
    const auto parsed = parse_safetensors(file->bytes(), path);
    EXPECT_TRUE(parsed.ok()) << path;
    for (const auto& tensor : parsed->tensors) {
      out += tensor.name + " " + std::string(dtype_name(tensor.tensor.dtype)) +
             str_list(tensor.tensor.shape) + "\n";
    }
    return out;
  };
  const std::string logits = shapes(folder.file("l.safetensors"));
  for (const char* expected :
       {"logits.0 F32[3, 4096]\n", "mtp_logits.0 F32[2, 4096]\n", "logits.2 F32[1, 4096]\n",
        "mtp_logits.2 F32[0, 4096]\n", "logits.4 F32[4, 4096]\n"}) {
    EXPECT_NE(logits.find(expected), std::string::npos) << expected << logits;
  }
  EXPECT_EQ(logits.find("logits.3"), std::string::npos);
  const std::string trace = shapes(folder.file("t.safetensors"));
  for (const char* expected :
       {"hidden.0.0 F32[3, 256]\n", "hidden.4.3 F32[4, 256]\n", "router.4.3.indices I64[4, 2]\n",
        "router.0.1.weights F32[3, 2]\n"}) {
    EXPECT_NE(trace.find(expected), std::string::npos) << expected << trace;
  }
  EXPECT_EQ(trace.find("router.0.0"), std::string::npos);  // a dense layer
}

}  // namespace
}  // namespace fathom::test
