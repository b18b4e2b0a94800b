#include "cli/train_report.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "base/str_cat.h"

namespace fathom::cli {
namespace {

template <typename... Args>
std::string format(const char* pattern, Args... args) {
  std::array<char, 256> text = {};
  std::snprintf(text.data(), text.size(), pattern, args...);
  return text.data();
}

std::string short_bytes(int64_t bytes) {
  const double gb = static_cast<double>(bytes) / 1e9;
  if (gb < 1) return format("%.0f MB", gb * 1000);
  return gb < 1000 ? format("%.1f GB", gb) : format("%.1f TB", gb / 1000);
}

double seconds_of(const DryRun& run) {
  return run.peak_gflop_s > 0 ? run.cost.flops() / (run.peak_gflop_s * 1e9 * kExpectedShare) : 0;
}

int64_t total_memory(const DryRun& run) { return run.cost.memory.total() + run.activation_bytes; }

}  // namespace

std::string short_count(double n) {
  if (n < 10000) return format("%.0f", n);
  double unit = 1;
  for (const char* name : {"K", "M", "B", "T"}) {
    unit *= 1000;
    if (n < unit * 999.5) return format("%.3g", n / unit) + name;  // not "1e+03"
  }
  return format("%.3g", n);
}

std::string short_time(double seconds) {
  if (!(seconds >= 0)) return "?";
  if (seconds < 60) return format("%.0f s", seconds);
  if (seconds < 48 * 3600.0) {
    const auto whole = static_cast<int64_t>(seconds);
    return format("%d:%02d:%02d", static_cast<int>(whole / 3600), static_cast<int>(whole / 60 % 60),
                  static_cast<int>(whole % 60));
  }
  if (seconds < 730 * 86400.0) return format("%.0f days", seconds / 86400);
  return short_count(seconds / 86400 / 365.25) + " years";
}

std::string dry_run_text(const DryRun& run) {
  const ParameterCount& parameters = run.cost.parameters;
  const RunMemory& memory = run.cost.memory;
  std::string out;
  str_append(out, "parameters        ", short_count(static_cast<double>(parameters.total)), " (",
             short_count(static_cast<double>(parameters.activated)), " activated)");
  if (parameters.mtp_unique > 0)
    str_append(out, ", MTP ", short_count(static_cast<double>(parameters.mtp_unique)));
  str_append(out, "\nuseful operations ", short_count(run.cost.flops_per_token), " a token\n");
  str_append(out, "memory            ", short_bytes(total_memory(run)), ": masters ",
             short_bytes(memory.masters), ", gradients ", short_bytes(memory.gradients),
             ", moments ", short_bytes(memory.moments), ", weights ", short_bytes(memory.weights),
             ", activations ", short_bytes(run.activation_bytes), "\n");
  str_append(out, "the run           ", short_count(static_cast<double>(run.cost.tokens)),
             " tokens in ", short_count(static_cast<double>(run.cost.steps)), " steps, ",
             short_count(run.cost.flops()), " operations\n");
  str_append(out, "this machine      ", format("%.0f", run.peak_gflop_s), " GFLOP/s in BF16 (",
             run.isa, ", ", run.threads, run.threads == 1 ? " thread" : " threads", "); at ",
             format("%.0f", kExpectedShare * 100), " % of it ", short_time(seconds_of(run)), "\n");
  return out;
}

Json dry_run_json(const DryRun& run) {
  const ParameterCount& parameters = run.cost.parameters;
  const RunMemory& memory = run.cost.memory;
  return Json::Object{{"parameters", Json::Object{{"total", parameters.total},
                                                  {"activated", parameters.activated},
                                                  {"mtp_unique", parameters.mtp_unique}}},
                      {"flops_per_token", run.cost.flops_per_token},
                      {"memory", Json::Object{{"total", total_memory(run)},
                                              {"masters", memory.masters},
                                              {"gradients", memory.gradients},
                                              {"moments", memory.moments},
                                              {"weights", memory.weights},
                                              {"activations", run.activation_bytes}}},
                      {"tokens", run.cost.tokens},
                      {"steps", run.cost.steps},
                      {"bf16_gflop_s", run.peak_gflop_s},
                      {"seconds", seconds_of(run)}};
}

ProgressLine::ProgressLine(const RunConfig& run, double flops_per_token)
    : run_(run), flops_per_token_(flops_per_token) {}

std::string ProgressLine::text(const StepReport& report, double seconds) {
  const int64_t tokens =
      last_tokens_ < 0 ? report.step_tokens : std::max<int64_t>(0, report.tokens - last_tokens_);
  const int64_t steps = last_tokens_ < 0 ? 1 : std::max<int64_t>(1, report.step - last_step_);
  last_tokens_ = report.tokens;
  last_step_ = report.step;
  const double rate = seconds > 0 ? static_cast<double>(tokens) / seconds : 0;
  std::string out = str_cat("step ", report.step);
  if (run_.steps > 0) str_append(out, "/", run_.steps);
  str_append(out, ", ", short_count(static_cast<double>(report.tokens)), " tokens: loss ",
             format("%.3f", report.loss_main));
  if (report.loss_mtp > 0) str_append(out, " (MTP ", format("%.3f", report.loss_mtp), ")");
  str_append(out, ", gradient ", format("%.2g", report.gradient_norm), ", learning rate ",
             format("%.2g", report.learning_rate), ", ", short_count(rate), " tokens/s");
  if (peak_gflop_s_ > 0)
    str_append(out, " (", format("%.1f", 100 * rate * flops_per_token_ / (peak_gflop_s_ * 1e9)),
               " % of peak)");
  double left = INFINITY;
  if (run_.tokens > 0 && rate > 0)
    left = static_cast<double>(std::max<int64_t>(0, run_.tokens - report.tokens)) / rate;
  if (run_.steps > 0)
    left = std::min(left, static_cast<double>(std::max<int64_t>(0, run_.steps - report.step)) *
                              seconds / static_cast<double>(steps));
  if (std::isfinite(left)) str_append(out, ", ", short_time(left), " left");
  return out;
}

}  // namespace fathom::cli
