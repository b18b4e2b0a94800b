// What `fathom train` says of a run: what it will cost, and how it goes.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>

#include "io/json.h"
#include "train/run_cost.h"
#include "train/trainer.h"

namespace fathom::cli {

// "1.97M", "14.8T"; below 10,000 all digits.
std::string short_count(double n);
// "1:23:10", "12 s".
std::string short_time(double seconds);

// Of a run that is not started: peak_gflop_s is this machine's measured BF16 peak.
struct DryRun {
  RunCost cost;
  int64_t activation_bytes = 0;
  double peak_gflop_s = 0;
  std::string isa;
  int threads = 0;
};
// The share of the peak that small models have been seen to reach here; times are estimated by it.
inline constexpr double kExpectedShare = 0.15;
std::string dry_run_text(const DryRun& run);
Json dry_run_json(const DryRun& run);

// One line of progress for some steps: means since the last line.
class ProgressLine {
 public:
  ProgressLine(const RunConfig& run, double flops_per_token);
  // Of the machine; the largest that was seen counts. Without any, shares are left out.
  void saw_peak(double gflop_s) { peak_gflop_s_ = std::max(peak_gflop_s_, gflop_s); }
  // The line after this step; seconds are what passed since the last line.
  std::string text(const StepReport& report, double seconds);

 private:
  const RunConfig& run_;
  double flops_per_token_, peak_gflop_s_ = 0;
  int64_t last_tokens_ = -1, last_step_ = 0;
};

}  // namespace fathom::cli
