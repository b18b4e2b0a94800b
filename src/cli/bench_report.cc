#include "cli/bench_report.h"

#include <algorithm>
#include <charconv>

#include "base/median.h"
#include "cli/inspect_report.h"
#include "model/parameters.h"

namespace fathom::cli {

namespace {

std::string fixed(double value, int digits) {
  char buffer[400];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed, digits).ptr;
  return std::string(buffer, end);
}
// Three digits or more, never more decimals than mean something.
std::string readable(double value) { return fixed(value, value < 10 ? 2 : value < 100 ? 1 : 0); }
std::string percent(double share) { return fixed(100 * share, 1) + " %"; }

struct Column {
  const char* head;
  size_t width;
};
constexpr Column kColumns[] = {{"test", 7},    {"prompt", 7},    {"batch", 6},
                               {"depth", 7},   {"tokens/s", 10}, {"ms/step", 10},
                               {"read", 10},   {"GFLOP", 9},     {"experts", 8},
                               {"of read", 9}, {"of peak", 9},   {"nearer to", 10}};

// The first column to the left, the others to the right.
std::string line(const std::vector<std::string>& cells) {
  std::string out;
  for (size_t i = 0; i < cells.size(); ++i) {
    const std::string pad(kColumns[i].width - std::min(kColumns[i].width, cells[i].size()), ' ');
    out += i == 0 ? cells[i] + pad : pad + cells[i];
  }
  return out + "\n";
}

const char* kind_name(BenchTest::Kind kind) {
  return kind == BenchTest::Kind::kPrefill ? "prefill" : "decode";
}
const char* limit_name(BenchLimit limit) {
  return limit == BenchLimit::kBandwidth ? "bandwidth" : "compute";
}

std::vector<MachineLimits> all_limits(const std::vector<BenchResult>& results,
                                      const std::optional<DraftBenchResult>& drafts) {
  std::vector<MachineLimits> limits;
  for (const BenchResult& result : results)
    limits.insert(limits.end(), {result.before, result.after});
  if (drafts) limits.insert(limits.end(), {drafts->before, drafts->after});
  return limits;
}
std::vector<double> readings(const std::vector<MachineLimits>& limits,
                             double MachineLimits::*member) {
  std::vector<double> values;
  for (const MachineLimits& one : limits) values.push_back(one.*member);
  return values;
}

void set_limits(Json& json, const MachineLimits& limits) {
  json.set("read_gb_s", limits.read_gb_s);
  json.set("fp32_gflop_s", limits.fp32_gflop_s);
  json.set("bf16_gflop_s", limits.bf16_gflop_s);
  json.set("int8_gop_s", limits.int8_gop_s);
}
Json limits_json(const MachineLimits& limits) {
  Json json = Json::object();
  set_limits(json, limits);
  return json;
}

Json result_json(const BenchResult& result) {
  Json runs = Json::array();
  for (const double run : result.runs) runs.push_back(run);
  const BenchTest& test = result.test;
  return Json::Object{{"test", kind_name(test.kind)},
                      {"n_prompt", test.n_prompt},
                      {"n_batch", test.n_batch},
                      {"depth", test.depth},
                      {"tokens_per_s", result.tokens_per_s},
                      {"runs", std::move(runs)},
                      {"steps_per_run", result.steps_per_run},
                      {"seconds_per_step", result.seconds_per_step},
                      {"bytes_per_step", result.bytes_per_step},
                      {"ops_per_step", result.ops_per_step},
                      {"experts_per_step", result.experts_per_step},
                      {"share_of_bandwidth", result.share_of_bandwidth},
                      {"share_of_peak", result.share_of_peak},
                      {"limit", limit_name(result.limit)},
                      {"machine_before", limits_json(result.before)},
                      {"machine_after", limits_json(result.after)}};
}

}  // namespace

std::string bench_machine_text(const BenchMachine& machine, const MachineLimits& limits) {
  return str_cat("machine  ", machine.cpu, ", ", machine.isa, ", ", machine.threads,
                 machine.threads == 1 ? " thread" : " threads", ": reads ",
                 fixed(limits.read_gb_s, 1), " GB/s; computes ", fixed(limits.fp32_gflop_s, 0),
                 " (FP32), ", fixed(limits.bf16_gflop_s, 0), " (BF16) GFLOP/s, ",
                 fixed(limits.int8_gop_s, 0), " (INT8) GOP/s\n");
}

std::string bench_model_text(const BenchModelFacts& model) {
  const ModelConfig& config = model.config;
  const int64_t n_dense = std::min(config.first_k_dense_replace, config.num_hidden_layers);
  std::string out = str_cat("model    ", model.source, ": ", config.family(), ", ", n_dense,
                            " dense + ", config.num_hidden_layers - n_dense, " MoE layers",
                            model.n_mtp > 0 ? str_cat(" + ", model.n_mtp, " MTP") : std::string(),
                            ", vocabulary ", grouped(config.vocab_size), ", ",
                            human_bytes(model.weight_bytes), "; activations ", model.activations,
                            ", cache ", model.kv_dtype, ", attention ", model.attention, "\n");
  str_append(out, "         ",
             model.make_seconds > 0
                 ? str_cat("weights made in ", fixed(model.make_seconds, 1), " s, ")
                 : std::string(),
             "loaded in ", fixed(model.load_seconds, 3), " s\n");
  return out;
}

std::string bench_table_head() {
  std::vector<std::string> cells;
  for (const Column& column : kColumns) cells.emplace_back(column.head);
  return "\n" + line(cells);
}

std::string bench_table_row(const BenchResult& result) {
  const BenchTest& test = result.test;
  const bool prefill = test.kind == BenchTest::Kind::kPrefill;
  return line({kind_name(test.kind), prefill ? str_cat(test.n_prompt) : "-", str_cat(test.n_batch),
               str_cat(test.depth), readable(result.tokens_per_s),
               readable(result.seconds_per_step * 1e3),
               human_bytes(static_cast<int64_t>(result.bytes_per_step)),
               readable(result.ops_per_step * 1e-9),
               fixed(result.experts_per_step, result.experts_per_step < 100 ? 1 : 0),
               percent(result.share_of_bandwidth), percent(result.share_of_peak),
               limit_name(result.limit)});
}

std::string bench_drafts_text(const DraftBenchResult& drafts) {
  const auto ms = [](double seconds) { return readable(seconds * 1e3) + " ms"; };
  return str_cat("\ndrafts   ", percent(drafts.acceptance),
                 " of them right: ", readable(drafts.drafts_tokens_per_s), " tokens/s, without ",
                 readable(drafts.plain_tokens_per_s), ": ", fixed(drafts.gain(), 2),
                 " times\n         (1 + a) t1 / (t2 + t_module) = ",
                 fixed(drafts.expected_gain(), 2), " from steps of one row in ", ms(drafts.t1),
                 ", of two in ", ms(drafts.t2), ", of the module in ", ms(drafts.t_module), "\n");
}

std::string bench_end_text(const std::vector<BenchResult>& results,
                           const std::optional<DraftBenchResult>& drafts,
                           int64_t peak_memory_bytes) {
  const std::vector<MachineLimits> limits = all_limits(results, drafts);
  const auto span = [&](double MachineLimits::*member) {
    const std::vector<double> values = readings(limits, member);
    const auto [least, most] = std::minmax_element(values.begin(), values.end());
    return str_cat(fixed(*least, 1), " to ", fixed(*most, 1));
  };
  return str_cat("\nLimits during the run: read ", span(&MachineLimits::read_gb_s), " GB/s, FP32 ",
                 span(&MachineLimits::fp32_gflop_s), ", BF16 ", span(&MachineLimits::bf16_gflop_s),
                 " GFLOP/s. Peak memory ", human_bytes(peak_memory_bytes), ".\n",
                 results.empty()
                     ? ""
                     : "A share is of the mean of the readings just before and after the "
                       "test; small models that fit into the processor's caches can pass "
                       "100 % of read.\n");
}

Json bench_json(const BenchMachine& machine, const BenchModelFacts& model,
                const std::vector<BenchResult>& results,
                const std::optional<DraftBenchResult>& drafts, int64_t peak_memory_bytes) {
  Json machine_json =
      Json::Object{{"cpu", machine.cpu}, {"isa", machine.isa}, {"threads", machine.threads}};
  const std::vector<MachineLimits> limits = all_limits(results, drafts);
  set_limits(machine_json, {.read_gb_s = median(readings(limits, &MachineLimits::read_gb_s)),
                            .fp32_gflop_s = median(readings(limits, &MachineLimits::fp32_gflop_s)),
                            .bf16_gflop_s = median(readings(limits, &MachineLimits::bf16_gflop_s)),
                            .int8_gop_s = median(readings(limits, &MachineLimits::int8_gop_s))});
  const ParameterCount parameters = count_parameters(model.config);
  const int64_t n_dense =
      std::min(model.config.first_k_dense_replace, model.config.num_hidden_layers);
  Json model_json = Json::Object{{"source", model.source},
                                 {"family", model.config.family()},
                                 {"n_dense_layers", n_dense},
                                 {"n_moe_layers", model.config.num_hidden_layers - n_dense},
                                 {"n_mtp_modules", model.n_mtp},
                                 {"vocab_size", model.config.vocab_size},
                                 {"parameters", parameters.total},
                                 {"activated", parameters.activated},
                                 {"weight_bytes", model.weight_bytes},
                                 {"activations", model.activations},
                                 {"kv_dtype", model.kv_dtype},
                                 {"attention", model.attention},
                                 {"load_seconds", model.load_seconds},
                                 {"peak_memory_bytes", peak_memory_bytes}};
  if (model.make_seconds > 0) model_json.set("make_seconds", model.make_seconds);
  if (model.streaming) {
    const ExpertCacheStats& s = *model.streaming;
    model_json.set("streaming", Json::Object{{"experts_used", s.n_used},
                                             {"experts_in_memory", s.n_found},
                                             {"bytes_read", s.bytes_read},
                                             {"read_seconds", s.read_seconds},
                                             {"wait_seconds", s.wait_seconds}});
  }
  Json rows = Json::array();
  for (const BenchResult& result : results) rows.push_back(result_json(result));
  Json json = Json::Object{{"machine", std::move(machine_json)},
                           {"model", std::move(model_json)},
                           {"results", std::move(rows)}};
  if (drafts) {
    json.set("drafts", Json::Object{{"acceptance", drafts->acceptance},
                                    {"tokens_per_s", drafts->drafts_tokens_per_s},
                                    {"tokens_per_s_without", drafts->plain_tokens_per_s},
                                    {"gain", drafts->gain()},
                                    {"expected_gain", drafts->expected_gain()},
                                    {"t1_seconds", drafts->t1},
                                    {"t2_seconds", drafts->t2},
                                    {"t_module_seconds", drafts->t_module}});
  }
  return json;
}

}  // namespace fathom::cli
