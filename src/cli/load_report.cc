#include "cli/load_report.h"

#include <algorithm>

#include "base/str_cat.h"

namespace fathom::cli {

namespace {

constexpr size_t kLabelWidth = 37;  // of a row of the table of times, its server included
constexpr size_t kServerWidth = 12;
constexpr size_t kCellWidth = 12;

struct Row {
  const char* label;
  const char* key;
  Quantiles LoadSummary::*values;
  double factor;
  bool has_ratio;
};
constexpr Row kRows[] = {
    {"time to first token, ms", "time_to_first_token_ms", &LoadSummary::first_s, 1e3, true},
    {"time between tokens, ms", "time_between_tokens_ms", &LoadSummary::gap_s, 1e3, true},
    {"time per token, ms", "time_per_token_ms", &LoadSummary::token_s, 1e3, true},
    {"whole answer, ms", "whole_answer_ms", &LoadSummary::whole_s, 1e3, true},
    {"tokens of a prompt", "prompt_length", &LoadSummary::prompt_length, 1, false},
    {"tokens of an answer", "answer_length", &LoadSummary::answer_length, 1, false}};

struct Rate {
  const char* head;
  const char* key;
  double LoadSummary::*value;
};
constexpr Rate kRates[] = {
    {"requests/s", "requests_per_s", &LoadSummary::requests_per_s},
    {"prompts", "computed_prompt_tokens_per_s", &LoadSummary::computed_tokens_per_s},
    {"cached", "cached_prompt_tokens_per_s", &LoadSummary::cached_tokens_per_s},
    {"answers", "output_tokens_per_s", &LoadSummary::output_tokens_per_s}};

struct Column {
  const char* head;
  const char* key;
  double Quantiles::*value;
};
constexpr Column kColumns[] = {{"p50", "p50", &Quantiles::p50},
                               {"p90", "p90", &Quantiles::p90},
                               {"p99", "p99", &Quantiles::p99},
                               {"max", "max", &Quantiles::max},
                               {"mean", "mean", &Quantiles::mean}};

std::string right(std::string_view text, size_t width) {
  return std::string(width - std::min(width, text.size()), ' ') + std::string(text);
}
std::string left(std::string_view text, size_t width) {
  return std::string(text) + std::string(width - std::min(width, text.size()), ' ');
}
std::string cell(std::string_view text) { return right(text, kCellWidth); }

std::string ratio_text(double value, double first) {
  return value > 0 && first > 0 ? fixed_digits(value / first, 2) + "x" : "-";
}

std::string server_name(size_t i, size_t n) { return n == 1 ? "" : str_cat("server ", i + 1); }
std::string ratio_name(size_t i) { return str_cat(i + 1, " to 1"); }

std::string range_text(const TokenRange& range) {
  return range.low == range.high ? str_cat(range.low) : str_cat(range.low, " to ", range.high);
}

const char* endpoint_name(LoadEndpoint endpoint) {
  return endpoint == LoadEndpoint::kChat ? "chat" : "completions";
}

std::string setup_text(const LoadSetup& setup) {
  std::string out = "load      ";
  if (setup.n_requests) str_append(out, *setup.n_requests, " requests");
  if (setup.duration_s)
    str_append(out, setup.n_requests ? ", at most " : "", short_number(*setup.duration_s), " s");
  if (setup.rate > 0) {
    str_append(out, ", ", setup.rate, " a second (Poisson)");
  } else {
    str_append(out, ", ", setup.concurrency, " at once");
  }
  if (setup.n_rounds > 1) str_append(out, ", in ", setup.n_rounds, " rounds");
  str_append(out, "; ", endpoint_name(setup.endpoint), ", temperature ", setup.temperature,
             ", seed ", setup.shape.seed, "\n          prompts ");
  if (setup.prompts_file.empty()) {
    str_append(out, "of ", range_text(setup.shape.prompt), " tokens");
    if (setup.shape.prefix_tokens > 0)
      str_append(out, " after ", setup.shape.prefix_tokens, " that ",
                 setup.shape.prefix_groups == 1
                     ? std::string("all share")
                     : str_cat("each of ", setup.shape.prefix_groups, " groups shares"));
  } else {
    str_append(out, "from ", setup.prompts_file);
  }
  return str_cat(out, ", answers of ", setup.ignore_eos ? "" : "at most ",
                 range_text(setup.shape.answer), " tokens\n");
}

// Counts and rates, a line for each server.
std::string rates_text(const std::vector<LoadedServer>& servers) {
  const size_t width = servers.size() == 1 ? 0 : kServerWidth;
  std::string out =
      std::string(width + 5 * kCellWidth, ' ') + cell("tokens/s of") + "\n" + left("", width);
  for (const char* head : {"completed", "failed", "at once", "seconds"}) out += cell(head);
  for (const Rate& rate : kRates) out += cell(rate.head);
  out += "\n";
  for (size_t i = 0; i < servers.size(); ++i) {
    const LoadSummary& s = servers[i].summary;
    out += left(server_name(i, servers.size()), width);
    for (const int64_t count : {s.n_completed, s.n_failed, s.peak_in_flight})
      out += cell(str_cat(count));
    out += cell(short_number(s.elapsed_s));
    for (const Rate& rate : kRates) out += cell(short_number(s.*rate.value));
    out += "\n";
  }
  for (size_t i = 1; i < servers.size(); ++i) {
    out += left(ratio_name(i), width) + std::string(4 * kCellWidth, ' ');
    for (const Rate& rate : kRates)
      out += cell(ratio_text(servers[i].summary.*rate.value, servers[0].summary.*rate.value));
    out += "\n";
  }
  return out;
}

std::string times_text(const std::vector<LoadedServer>& servers) {
  const size_t width = servers.size() == 1 ? kLabelWidth - kServerWidth : kLabelWidth;
  const size_t label_width = width - (servers.size() == 1 ? 0 : kServerWidth);
  std::string out = left("", width);
  for (const Column& column : kColumns) out += cell(column.head);
  out += "\n";
  for (const Row& row : kRows) {
    for (size_t i = 0; i < servers.size(); ++i) {
      const Quantiles& values = servers[i].summary.*row.values;
      out += left(i == 0 ? row.label : "", label_width);
      out += left(server_name(i, servers.size()), width - label_width);
      for (const Column& column : kColumns)
        out += cell(values.n == 0 ? "-" : short_number(row.factor * values.*column.value));
      out += "\n";
    }
    for (size_t i = 1; i < servers.size() && row.has_ratio; ++i) {
      out += left("", label_width) + left(ratio_name(i), width - label_width);
      for (const Column& column : kColumns)
        out += cell(ratio_text((servers[i].summary.*row.values).*column.value,
                               (servers[0].summary.*row.values).*column.value));
      out += "\n";
    }
  }
  return out;
}

// What the tables do not say.
std::string remarks_text(const LoadedServer& server, const std::string& name) {
  const LoadSummary& s = server.summary;
  std::string out;
  const auto remark = [&](const auto&... parts) {
    str_append(out, name.empty() ? "" : name + ": ", parts..., "\n");
  };
  for (const auto& [kind, failure] : s.failures)
    remark(failure.n, " failed, ", kind, failure.example.empty() ? "" : ": ", failure.example);
  if (s.n_stopped > 0) remark(s.n_stopped, " were stopped under way");
  if (s.n_refused > 0) remark(s.n_refused, " answers 429 were waited for, as they asked");
  if (s.n_empty > 0) remark(s.n_empty, " answers came without a word; they have no first token");
  if (!s.server_counted)
    remark("the server does not count tokens: pieces of the streams are counted in their place");
  if (server.is_checked && server.n_compared == 0) {
    remark("check: no prompt was answered twice");
  } else if (server.is_checked) {
    remark("check: ", server.n_compared,
           " answers compared with those to the same prompts before, ", server.n_mismatched,
           " differ", server.mismatch.empty() ? "" : "; ", server.mismatch);
  }
  return out;
}

Json quantiles_json(const Quantiles& values, double factor) {
  Json json = Json::object();
  json.set("n", values.n);
  for (const Column& column : kColumns)
    json.set(column.key, values.n == 0 ? Json() : Json(factor * values.*column.value));
  return json;
}

Json range_json(const TokenRange& range) { return Json::Array{range.low, range.high}; }

Json setup_json(const LoadSetup& setup) {
  Json json = Json::object();
  json.set("endpoint", endpoint_name(setup.endpoint));
  json.set("requests", setup.n_requests ? Json(*setup.n_requests) : Json());
  json.set("duration_s", setup.duration_s ? Json(*setup.duration_s) : Json());
  json.set("concurrency", setup.concurrency);
  json.set("rate", setup.rate > 0 ? Json(setup.rate) : Json());
  json.set("rounds", setup.n_rounds);
  json.set("prompts", setup.prompts_file.empty() ? Json() : Json(setup.prompts_file));
  json.set("prompt_tokens", setup.prompts_file.empty() ? range_json(setup.shape.prompt) : Json());
  json.set("prefix_tokens", setup.shape.prefix_tokens);
  json.set("prefix_groups", setup.shape.prefix_groups);
  json.set("answer_tokens", range_json(setup.shape.answer));
  json.set("ignore_eos", setup.ignore_eos);
  json.set("temperature", setup.temperature);
  json.set("seed", static_cast<uint64_t>(setup.shape.seed));
  return json;
}

Json ratio_json(double value, double first) {
  return value > 0 && first > 0 ? Json(value / first) : Json();
}

Json ratios_json(const LoadSummary& summary, const LoadSummary& first) {
  Json json = Json::object();
  for (const Rate& rate : kRates)
    json.set(rate.key, ratio_json(summary.*rate.value, first.*rate.value));
  for (const Row& row : kRows) {
    if (!row.has_ratio) continue;
    Json ratios = Json::object();
    for (const Column& column : kColumns)
      ratios.set(column.key, ratio_json((summary.*row.values).*column.value,
                                        (first.*row.values).*column.value));
    json.set(row.key, std::move(ratios));
  }
  return json;
}

Json server_json(const LoadedServer& server) {
  const LoadSummary& s = server.summary;
  Json failures = Json::object();
  for (const auto& [kind, failure] : s.failures)
    failures.set(kind, Json::Object{{"count", failure.n}, {"example", failure.example}});
  Json json = Json::Object{{"url", server.url},
                           {"model", server.model},
                           {"completed", s.n_completed},
                           {"failed", s.n_failed},
                           {"failures", std::move(failures)},
                           {"stopped", s.n_stopped},
                           {"refused_429", s.n_refused},
                           {"empty", s.n_empty},
                           {"peak_in_flight", s.peak_in_flight},
                           {"elapsed_s", s.elapsed_s},
                           {"tokens_counted_by", s.server_counted ? "server" : "pieces"},
                           {"prompt_tokens", s.prompt_tokens},
                           {"cached_tokens", s.cached_tokens},
                           {"completion_tokens", s.completion_tokens}};
  for (const Rate& rate : kRates) json.set(rate.key, s.*rate.value);
  for (const Row& row : kRows) json.set(row.key, quantiles_json(s.*row.values, row.factor));
  if (server.is_checked) {
    json.set("check", Json::Object{{"compared", server.n_compared},
                                   {"mismatched", server.n_mismatched},
                                   {"first_mismatch",
                                    server.mismatch.empty() ? Json() : Json(server.mismatch)}});
  }
  return json;
}

}  // namespace

std::string load_text(const LoadSetup& setup, const std::vector<LoadedServer>& servers) {
  std::string out = setup_text(setup);
  for (size_t i = 0; i < servers.size(); ++i) {
    const std::string name = servers.size() == 1 ? "server" : server_name(i, servers.size());
    str_append(out, left(name, 10), servers[i].url, ", ", servers[i].model, "\n");
  }
  str_append(out, "\n", rates_text(servers), "\n", times_text(servers));
  std::string remarks;
  for (size_t i = 0; i < servers.size(); ++i)
    remarks += remarks_text(servers[i], server_name(i, servers.size()));
  return remarks.empty() ? out : str_cat(out, "\n", remarks);
}

Json load_json(const LoadSetup& setup, const std::vector<LoadedServer>& servers) {
  Json rows = Json::array();
  for (size_t i = 0; i < servers.size(); ++i) {
    Json row = server_json(servers[i]);
    if (i > 0) row.set("ratio_to_first", ratios_json(servers[i].summary, servers[0].summary));
    rows.push_back(std::move(row));
  }
  return Json::Object{{"load", setup_json(setup)}, {"servers", std::move(rows)}};
}

}  // namespace fathom::cli
