// Goal: what a person reads of a run is short and right. Method: numbers worked out by hand.
#include "cli/train_report.h"

#include <gtest/gtest.h>

#include <cmath>

namespace fathom::cli {
namespace {

TEST(TrainReport, CountsHaveThreeDigitsAndAUnit) {
  const std::pair<double, const char*> cases[] = {
      {0, "0"},           {9999, "9999"},       {10'000, "10K"}, {12'345, "12.3K"},
      {999'499, "999K"},  {999'700, "1M"},      {60e6, "60M"},   {671.03e9, "671B"},
      {14.8e12, "14.8T"}, {3.86e24, "3.86e+24"}};
  for (const auto& [n, text] : cases) EXPECT_EQ(short_count(n), text);
}

TEST(TrainReport, TimesAreReadAtAGlance) {
  const std::pair<double, const char*> cases[] = {{0, "0 s"},
                                                  {59.4, "59 s"},
                                                  {61, "0:01:01"},
                                                  {3.0 * 3600 + 59 * 60 + 7, "3:59:07"},
                                                  {47 * 3600.0, "47:00:00"},
                                                  {10 * 86400.0, "10 days"},
                                                  {1e12, "31.7K years"},
                                                  {NAN, "?"}};
  for (const auto& [seconds, text] : cases) EXPECT_EQ(short_time(seconds), text);
}

DryRun small_run() {
  DryRun run;
  run.cost.parameters.total = 10'000'000;
  run.cost.parameters.activated = 4'340'000;
  run.cost.parameters.mtp_unique = 2'550'000;
  run.cost.flops_per_token = 32.5e6;
  run.cost.memory = {.masters = 50'000'000,
                     .gradients = 100'000'000,
                     .moments = 50'000'000,
                     .weights = 1'900'000'000};
  run.cost.steps = 7813;
  run.cost.tokens = 60'000'000;
  run.activation_bytes = 3'000'000'000'000;
  run.peak_gflop_s = 1000;
  run.isa = "amx";
  run.threads = 1;
  return run;
}

TEST(TrainReport, DryRunAsText) {
  const DryRun run = small_run();
  // 60e6 * 32.5e6 operations at kExpectedShare of 1e12 a second.
  const std::string time = short_time(60e6 * 32.5e6 / 1e12 / kExpectedShare);
  const std::string share = short_count(kExpectedShare * 100);
  EXPECT_EQ(dry_run_text(run),
            "parameters        10M (4.34M activated), MTP 2.55M\n"
            "useful operations 32.5M a token\n"
            "memory            3.0 TB: masters 50 MB, gradients 100 MB, moments 50 MB, weights 1.9 "
            "GB, activations 3.0 TB\n"
            "the run           60M tokens in 7813 steps, 1.95e+15 operations\n"
            "this machine      1000 GFLOP/s in BF16 (amx, 1 thread); at " +
                share + " % of it " + time + "\n");
}

TEST(TrainReport, DryRunAsJson) {
  const Json json = dry_run_json(small_run());
  EXPECT_EQ(json.find("parameters")->find("mtp_unique")->as_int(), 2'550'000);
  EXPECT_EQ(json.find("memory")->find("total")->as_int(), 3'002'100'000'000);
  EXPECT_EQ(json.find("steps")->as_int(), 7813);
  EXPECT_DOUBLE_EQ(json.find("seconds")->as_double(), 60e6 * 32.5e6 / 1e12 / kExpectedShare);
}

StepReport step(int64_t number) {
  StepReport report;
  report.step = number;
  report.step_tokens = 4000;
  report.tokens = number * 4000;
  report.loss_main = 2.3456;
  report.gradient_norm = 0.5123;
  report.learning_rate = 2e-3;
  return report;
}

TEST(TrainReport, ProgressCountsWhatCameSinceTheLastLine) {
  RunConfig run;
  run.steps = 100;
  ProgressLine line(run, 1e6);
  line.saw_peak(100);
  line.saw_peak(40);  // others were busy
  EXPECT_EQ(line.text(step(1), 2),
            "step 1/100, 4000 tokens: loss 2.346, gradient 0.51, learning rate 0.002, 2000 "
            "tokens/s (2.0 % of peak), 0:03:18 left");
  StepReport fifth = step(5);  // four steps later
  fifth.loss_mtp = 3;
  EXPECT_EQ(line.text(fifth, 2),
            "step 5/100, 20K tokens: loss 2.346 (MTP 3.000), gradient 0.51, learning rate 0.002, "
            "8000 tokens/s (8.0 % of peak), 48 s left");
}

TEST(TrainReport, TheEndThatComesFirstCounts) {
  RunConfig run;
  run.steps = 100;
  run.tokens = 44'000;
  ProgressLine by_tokens(run, 1e6);
  EXPECT_EQ(by_tokens.text(step(1), 2),
            "step 1/100, 4000 tokens: loss 2.346, gradient 0.51, learning rate 0.002, 2000 "
            "tokens/s, 20 s left");
  // After going back (a spike) nothing was won since the last line.
  ProgressLine back(run, 1e6);
  static_cast<void>(back.text(step(5), 2));
  EXPECT_NE(back.text(step(3), 2).find(", 0 tokens/s"), std::string::npos);
}

}  // namespace
}  // namespace fathom::cli
