// Goal: what a person types means exactly one thing. Method: values at the edges, and wrong ones.
#include "cli/options.h"

#include <gtest/gtest.h>

#include "base/suggest.h"
#include "cli/parse.h"

namespace fathom::cli {
namespace {

TEST(ParseSize, TakesDecimalAndBinaryUnits) {
  const auto bytes = [](const char* text) { return parse_size(text).value(); };
  EXPECT_EQ(bytes("0"), 0);
  EXPECT_EQ(bytes("1234"), 1234);
  EXPECT_EQ(bytes("7B"), 7);
  EXPECT_EQ(bytes("1KB"), 1000);
  EXPECT_EQ(bytes("1KiB"), 1024);
  EXPECT_EQ(bytes("2MB"), 2'000'000);
  EXPECT_EQ(bytes("2MiB"), 2 * 1048576);
  EXPECT_EQ(bytes("16GiB"), int64_t{16} << 30);
  EXPECT_EQ(bytes("1.5gb"), 1'500'000'000);
  EXPECT_EQ(bytes("3 GiB"), int64_t{3} << 30);
}

TEST(ParseSize, RefusesWhatIsNoSize) {
  for (const char* text : {"", "GB", "-1", "-0", "+1", "1XB", "1 2", "1G B", "nan", "inf", "1e3",
                           "0x10", "1G", "99999999999GiB", "1KBKB"}) {
    const Result<int64_t> size = parse_size(text);
    ASSERT_FALSE(size.ok()) << text;
    EXPECT_EQ(size.error().code, ErrorCode::kUsage);
  }
}

TEST(EditDistance, CountsInsertionsDeletionsReplacementsAndSwaps) {
  EXPECT_EQ(edit_distance("", ""), 0);
  EXPECT_EQ(edit_distance("", "abc"), 3);
  EXPECT_EQ(edit_distance("chat", "chat"), 0);
  EXPECT_EQ(edit_distance("caht", "chat"), 1);
  EXPECT_EQ(edit_distance("score", "scare"), 1);
  EXPECT_EQ(edit_distance("tokenise", "tokenize"), 1);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
}

TEST(NearestName, PrefersABeginning) {
  EXPECT_EQ(nearest_name("gen", {"bench", "generate"}), "generate");
  EXPECT_EQ(nearest_name("inspcet", {"inspect", "score"}), "inspect");
  EXPECT_EQ(nearest_name("x", {}), "");
}

struct Parsed {
  CommonOptions common;
  std::vector<std::string> files;
  std::string error;
  bool help = false;
};

Parsed parse(const std::vector<std::string>& arguments) {
  Parsed out;
  CLI::App app("a command", "fathom test");
  add_common_options(app, out.common, kRunOptions);
  app.add_option("FILES", out.files, "files");
  const Result<ParseOutcome> outcome = parse_arguments(app, arguments);
  if (!outcome.ok()) {
    EXPECT_EQ(outcome.error().code, ErrorCode::kUsage);
    EXPECT_EQ(outcome.error().message.find('\n'), std::string::npos) << outcome.error().message;
    out.error = outcome.error().message;
  } else {
    out.help = outcome.value() == ParseOutcome::kHelp;
  }
  return out;
}

TEST(CommonOptions, DefaultsAndValues) {
  const Parsed nothing = parse({});
  EXPECT_EQ(nothing.error, "");
  EXPECT_GE(nothing.common.n_threads(), 1);
  EXPECT_EQ(nothing.common.isa, "auto");
  EXPECT_FALSE(nothing.common.context.has_value());
  EXPECT_FALSE(nothing.common.seed.has_value());

  const Parsed given = parse({"--model",
                              "m",
                              "--threads=3",
                              "--isa",
                              "ref",
                              "--max-memory",
                              "16GiB",
                              "--context",
                              "4096",
                              "--activations",
                              "full",
                              "--kv-dtype",
                              "f32",
                              "--attention",
                              "naive",
                              "--seed",
                              "18446744073709551615",
                              "--log-level",
                              "error",
                              "--quiet",
                              "-",
                              "a.jsonl"});
  EXPECT_EQ(given.error, "");
  EXPECT_EQ(given.common.model, "m");
  EXPECT_EQ(given.common.n_threads(), 3);
  EXPECT_EQ(given.common.max_memory, int64_t{16} << 30);
  EXPECT_EQ(given.common.context, 4096);
  EXPECT_EQ(given.common.seed, UINT64_MAX);
  EXPECT_EQ(given.common.attention, "naive");
  EXPECT_TRUE(given.common.quiet);
  EXPECT_EQ(given.files, (std::vector<std::string>{"-", "a.jsonl"}));
  set_log_sink(nullptr, LogLevel::kWarning);
}

TEST(CommonOptions, WrongValuesAreRefusedInOneSentence) {
  const std::vector<std::vector<std::string>> wrong = {{"--threads", "0"},
                                                       {"--threads", "many"},
                                                       {"--threads", "99999999999"},
                                                       {"--threads", "-1"},
                                                       {"--threads", "1.5"},
                                                       {"--threads"},
                                                       {"--isa", "sse"},
                                                       {"--isa", "AVX2"},
                                                       {"--isa", ""},
                                                       {"--isa="},
                                                       {"--max-memory", "16XB"},
                                                       {"--max-memory", ""},
                                                       {"--context", "0"},
                                                       {"--context", "nan"},
                                                       {"--seed", "-1"},
                                                       {"--seed", "x"},
                                                       {"--quiet", "--quiet=7"},
                                                       {"--threads", "1", "--threads", "2"},
                                                       {"--log-level", "loud"}};
  for (const auto& arguments : wrong) EXPECT_NE(parse(arguments).error, "") << arguments.back();
}

TEST(ParseArguments, NamesTheNearestOption) {
  EXPECT_NE(parse({"--thread", "4"}).error.find("'--thread'; did you mean '--threads'"),
            std::string::npos);
  EXPECT_NE(parse({"--modle=x"}).error.find("'--modle'; did you mean '--model'"),
            std::string::npos);
  EXPECT_NE(parse({"--max", "1"}).error.find("'--max-memory'"),
            std::string::npos);  // nothing is abbreviated
}

TEST(CommonOptions, ALeadingZeroMeansNothing) {
  EXPECT_EQ(parse({"--threads", "010"}).common.threads, 10);
}

TEST(ParseArguments, HelpWinsOverWhatIsUnknown) { EXPECT_TRUE(parse({"--help"}).help); }

TEST(ParseArguments, AnEmptyModelIsNotTheEmbeddedOne) {
  EXPECT_NE(parse({"--model=", "file"}).error.find("the path is empty"), std::string::npos);
  EXPECT_NE(parse({"--model", ""}).error, "");
  EXPECT_EQ(parse({"--", "--isa="}).files, std::vector<std::string>{"--isa="});
}

}  // namespace
}  // namespace fathom::cli
