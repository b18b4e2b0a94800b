// Goal: the report shows what was measured. Method: a result made up by hand, read back from text
// and JSON.
#include "cli/bench_report.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "cli/bench_model.h"

namespace fathom::cli {
namespace {

BenchResult made_up() {
  BenchResult result;
  result.test = {BenchTest::Kind::kDecode, 0, 4, 4096};
  result.tokens_per_s = 50;
  result.runs = {49, 50, 52.5};
  result.steps_per_run = 6;
  result.seconds_per_step = 0.08;
  result.bytes_per_step = 2.5e9;
  result.ops_per_step = 12.3e9;
  result.experts_per_step = 29.5;
  result.before = {40, 480, 970, 1900};
  result.after = {42, 490, 960, 1980};
  result.share_of_bandwidth = 0.762;
  result.share_of_peak = 0.159;
  return result;
}

TEST(BenchReport, ARowHoldsTheNumbersUnderTheirHeads) {
  const std::string head = bench_table_head(), row = bench_table_row(made_up());
  for (const char* text : {"decode", " 4 ", " 4096 ", " 50.0 ", " 80.0 ", " 2.5 GB ", " 12.3 ",
                           " 29.5 ", " 76.2 % ", " 15.9 % ", " bandwidth\n"}) {
    EXPECT_NE(row.find(text), std::string::npos) << text << " in " << row;
  }
  EXPECT_EQ(head.size() - 1, row.size());  // after its blank line
  EXPECT_LE(row.size(), 120u);
  // Right-aligned columns end where their heads do.
  const size_t end = head.find("tokens/s") - 1 + std::string("tokens/s").size();
  EXPECT_EQ(row.substr(end - 4, 4), "50.0");
}

TEST(BenchReport, JsonKeepsBothReadingsAndTheMedianOfAll) {
  BenchModelFacts model;
  model.source = "made up";
  BenchResult second = made_up();
  second.before.read_gb_s = 44;
  second.after.read_gb_s = 80;
  second.limit = BenchLimit::kCompute;
  const Json json = bench_json({"a processor", "avx2", 2}, model, {made_up(), second}, {}, 123);
  EXPECT_EQ(json.find("machine")->find("read_gb_s")->as_double(), 43);  // of 40, 42, 44, 80
  const auto& results = json.find("results")->as_array();
  EXPECT_EQ(results[0].find("machine_before")->find("read_gb_s")->as_double(), 40);
  EXPECT_EQ(results[0].find("machine_after")->find("int8_gop_s")->as_double(), 1980);
  EXPECT_EQ(results[0].find("limit")->as_string(), "bandwidth");
  EXPECT_EQ(results[1].find("limit")->as_string(), "compute");
  EXPECT_EQ(results[0].find("runs")->as_array().size(), 3u);
  EXPECT_EQ(json.find("model")->find("peak_memory_bytes")->as_int(), 123);
}

TEST(BenchReport, DraftsAreComparedWithWhatStepsPromise) {
  const DraftBenchResult drafts = {
      .acceptance = 0.5,
      .plain_tokens_per_s = 10,
      .drafts_tokens_per_s = 12.5,
      .t1 = 0.1,
      .t2 = 0.11,
      .t_module = 0.01,
      .before = {.read_gb_s = 40, .fp32_gflop_s = 480, .bf16_gflop_s = 970, .int8_gop_s = 1960},
      .after = {.read_gb_s = 44, .fp32_gflop_s = 480, .bf16_gflop_s = 970, .int8_gop_s = 1960}};
  const std::string text = bench_drafts_text(drafts);
  for (const char* part : {"50.0 %", "12.5 tokens/s, without 10.0: 1.25 times", "= 1.25 from",
                           "in 100 ms", "in 110 ms", "in 10.0 ms"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in " << text;
  }
  const Json json = bench_json({"a processor", "avx2", 2}, {}, {}, drafts, 123);
  EXPECT_EQ(json.find("machine")->find("read_gb_s")->as_double(), 42);
  EXPECT_NE(bench_end_text({}, drafts, 123).find("read 40.0 to 44.0 GB/s"), std::string::npos);
  EXPECT_EQ(json.find("drafts")->find("gain")->as_double(), 1.25);
  EXPECT_EQ(json.find("drafts")->find("t_module_seconds")->as_double(), 0.01);
}

// Memory is asked for before anything large is made.
TEST(BenchModel, RefusesWhatDoesNotFit) {
  BenchModelOptions options;
  options.random = {.config = FATHOM_TESTDATA "/configs/v3.json",
                    .layers = "1+1",
                    .format = "fp8",
                    .vocab_size = {},
                    .mtp = false,
                    .save = "",
                    .force = false};
  options.common.max_memory = int64_t{1} << 30;
  Pool pool(1);
  std::vector<BenchTest> tests;
  const auto model = load_bench_model(
      options, {.isa = Isa::kRef, .pool = &pool},
      [](int64_t) {
        return std::vector<BenchTest>{{BenchTest::Kind::kDecode, 0, 1, 0}};
      },
      tests);
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.error().code, ErrorCode::kExhausted);
  EXPECT_NE(model.error().message.find("weights take"), std::string::npos) << model.error().message;
}

}  // namespace
}  // namespace fathom::cli
