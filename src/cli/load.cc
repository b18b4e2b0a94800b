// `fathom load`: how a server of the OpenAI API answers under load (docs/load.md).
#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/json_lines.h"
#include "cli/load_report.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "load/measurement.h"
#include "load/plot.h"

namespace fathom::cli {

namespace {

constexpr int64_t kServersMax = 16;
constexpr int64_t kRequestsDefault = 64;
constexpr int64_t kConcurrencyDefault = 16;
constexpr int64_t kPromptsMax = 100'000;
constexpr int64_t kPromptBytesMax = int64_t{16} << 20;

struct LoadCommand {
  CommonOptions common;
  std::vector<std::string> urls, models, api_keys;
  std::optional<int64_t> n_requests, concurrency, n_rounds;
  std::string duration, prompt_tokens = "128", answer_tokens = "64", timeout = "300s";
  std::string prompts_file, endpoint = "chat", plot;
  double rate = 0, temperature = 0;
  int64_t prefix_tokens = 0, prefix_groups = 1, n_warmup = 2;
  uint64_t seed = 1;
  bool ignore_eos = false, json = false, check = false, insecure = false, force = false;
};

// The one value of all servers, or that of the i-th; "" if none is given.
Result<std::string> value_for(const std::vector<std::string>& values, size_t i, size_t n_servers,
                              std::string_view option) {
  if (values.empty()) return std::string();
  if (values.size() == 1) return values.front();
  if (values.size() == n_servers) return values[i];
  return usage_error(option, " is given ", values.size(), " times for ", n_servers,
                     " servers; give it once, or once for each in their order");
}

Result<std::vector<LoadServer>> servers_of(const LoadCommand& command) {
  const char* const key = std::getenv("FATHOM_API_KEY");
  if (static_cast<int64_t>(command.urls.size()) > kServersMax)
    return usage_error("at most ", kServersMax, " servers are measured in one run");
  std::vector<LoadServer> servers;
  for (size_t i = 0; i < command.urls.size(); ++i) {
    LoadServer server;
    FATHOM_TRY(server.url, parse_url(command.urls[i]));
    const size_t n = command.urls.size();
    FATHOM_TRY(server.model, value_for(command.models, i, n, "--model"));
    FATHOM_TRY(server.api_key, value_for(command.api_keys, i, n, "--api-key"));
    if (command.api_keys.empty() && key != nullptr) server.api_key = key;
    for (const char c : server.api_key)
      if (c <= ' ' || c > '~') return usage_error("the API key holds blanks or other odd signs");
    servers.push_back(std::move(server));
  }
  return servers;
}

Status check_usage(const LoadCommand& command, bool has_lengths) {
  if (command.check && command.temperature > 0)
    return usage_error("--check needs --temperature 0: sampled answers may differ");
  if (!command.prompts_file.empty() && (has_lengths || command.prefix_tokens > 0))
    return usage_error(
        "--prompts FILE has its own lengths: leave --prompt-tokens and "
        "--prefix-tokens out");
  if (command.prefix_groups > 1 && command.prefix_tokens == 0)
    return usage_error("--prefix-groups is about --prefix-tokens: give it too");
  if (command.force && command.plot.empty())
    return usage_error("--force is about --plot: give a file");
  return {};
}

// Several servers: enough rounds for turns forwards and backwards, but none so short that its
// beginning and its end, when fewer requests are under way, make up most of it.
int64_t n_rounds_of(const LoadCommand& command, const LoadSetup& setup) {
  constexpr int64_t kLeast = 2, kMost = 4;
  int64_t n = command.urls.size() > 1 ? kMost : 1;
  if (n > 1 && setup.n_requests && setup.rate == 0)
    n = std::clamp(*setup.n_requests / (2 * setup.concurrency), kLeast, kMost);
  return std::min(command.n_rounds.value_or(n), setup.n_requests.value_or(kRequestsMax));
}

Result<LoadSetup> setup_of(const LoadCommand& command) {
  LoadSetup setup;
  setup.endpoint = command.endpoint == "chat" ? LoadEndpoint::kChat : LoadEndpoint::kCompletions;
  FATHOM_TRY(setup.timeout_s, parse_duration(command.timeout));
  FATHOM_TRY(setup.shape.prompt, parse_token_range(command.prompt_tokens));
  FATHOM_TRY(setup.shape.answer, parse_token_range(command.answer_tokens));
  if (!command.duration.empty()) {
    FATHOM_TRY(setup.duration_s, parse_duration(command.duration));
  }
  setup.n_requests = command.n_requests;
  if (!setup.n_requests && !setup.duration_s) setup.n_requests = kRequestsDefault;
  setup.rate = command.rate;
  setup.concurrency =
      command.concurrency.value_or(command.rate > 0 ? kConcurrencyMax : kConcurrencyDefault);
  setup.n_rounds = n_rounds_of(command, setup);
  setup.prompts_file = command.prompts_file;
  setup.shape.prefix_tokens = command.prefix_tokens;
  setup.shape.prefix_groups = command.prefix_groups;
  setup.shape.seed = command.seed;
  setup.temperature = command.temperature;
  setup.ignore_eos = command.ignore_eos;
  setup.n_warmup = command.n_warmup;
  setup.check = command.check;
  return setup;
}

Result<std::vector<Json>> prompts_of_file(const std::string& path, LoadEndpoint endpoint) {
  std::vector<Json> prompts;
  if (path.empty()) return prompts;
  FATHOM_TRY(LineReader reader, LineReader::open({path}, kPromptBytesMax));
  while (true) {
    FATHOM_TRY(auto line, reader.next());
    if (!line) break;
    FATHOM_TRY(Json json, line->json());
    if (static_cast<int64_t>(prompts.size()) == kPromptsMax)
      return invalid_error(path, " holds more than ", kPromptsMax, " prompts; take fewer");
    FATHOM_TRY(Json prompt, prompt_of_line(endpoint, std::move(json), line->where));
    prompts.push_back(std::move(prompt));
  }
  if (prompts.empty()) return invalid_error(path, " holds no prompt");
  return prompts;
}

// Each connection is an open file.
void allow_connections(int64_t n) {
  rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const auto wanted = static_cast<rlim_t>(n + 64);
  if (limit.rlim_cur >= wanted) return;
  limit.rlim_cur = std::min(wanted, limit.rlim_max);
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

Status report(const LoadCommand& command, const Measurement& measurement, Output* plot) {
  std::vector<LoadedServer> servers;
  std::vector<PlotSeries> series;
  for (const MeasuredServer& one : measurement.servers()) {
    const std::string base = one.server.url.origin() + one.server.url.base;
    servers.push_back({base, one.server.model, summarize(one.log), command.check,
                       one.log.n_compared(), one.log.n_mismatched(), one.log.mismatch()});
    if (plot != nullptr)
      series.push_back(plot_series_of(str_cat(base, ", ", one.server.model), one.log));
  }
  const LoadSetup& setup = measurement.setup();
  FATHOM_RETURN_IF_ERROR(standard_output().write_now(
      command.json ? load_json(setup, servers).dump_pretty() + "\n" : load_text(setup, servers)));
  if (plot == nullptr) return {};
  FATHOM_RETURN_IF_ERROR(plot->write(load_plot_svg("fathom load", series)));
  return plot->finish();
}

Status run_load(const LoadCommand& command, bool has_lengths) {
  FATHOM_RETURN_IF_ERROR(check_usage(command, has_lengths));
  FATHOM_TRY(const LoadSetup setup, setup_of(command));
  FATHOM_TRY(std::vector<LoadServer> servers, servers_of(command));
  FATHOM_TRY(std::vector<Json> prompts, prompts_of_file(command.prompts_file, setup.endpoint));
  std::unique_ptr<Output> plot;  // opened first: a file that is in the way is seen before any work
  if (!command.plot.empty()) {
    FATHOM_TRY(plot, Output::create(command.plot, command.force));
  }
  allow_connections(setup.concurrency);
  const InterruptScope scope;
  const auto n_servers = static_cast<int64_t>(servers.size());
  Progress progress("measuring", setup.n_requests.value_or(0) * n_servers, "requests");
  const auto go_on = [&progress](int64_t n_done) {
    if (n_done > 0) progress.update(n_done);
    return !interrupted();
  };
  Measurement measurement(setup, std::move(servers), std::move(prompts),
                          {.verify = !command.insecure}, go_on);
  FATHOM_RETURN_IF_ERROR(measurement.prepare());
  measurement.measure();
  progress.hide();
  FATHOM_RETURN_IF_ERROR(report(command, measurement, plot.get()));
  if (interrupted()) return interrupted_error();
  return measurement.verdict();
}

void add_server_options(CLI::App& app, LoadCommand& command) {
  const char* const kGroup = "Servers";
  app.add_option(
         "URL", command.urls,
         "Servers of the OpenAI API, as in http://127.0.0.1:8080; without a path it is /v1. "
         "Several are measured in turns and compared with the first")
      ->required();
  app.add_option("--model", command.models, "The model's name there; once, or once for each server")
      ->type_name("NAME")
      ->allow_extra_args(false)  // what comes next may be a server
      ->default_str("the first of the server's list")
      ->group(kGroup);
  app.add_option("--api-key", command.api_keys, "The key; once, or once for each server")
      ->type_name("KEY")
      ->allow_extra_args(false)
      ->default_str("FATHOM_API_KEY, else none")
      ->group(kGroup);
  add_choice_option(app, "--endpoint", command.endpoint, {"chat", "completions"},
                    "Messages to an answer, or a text to its continuation")
      ->group(kGroup);
  app.add_flag("--insecure", command.insecure, "Do not verify certificates of https")
      ->group(kGroup);
}

void add_load_options(CLI::App& app, LoadCommand& command) {
  const char* const kGroup = "Load";
  app.add_option("--requests", command.n_requests, "Requests to each server")
      ->type_name("N")
      ->transform(whole_number(1, kRequestsMax))
      ->default_str("64, or as many as --duration allows")
      ->group(kGroup);
  app.add_option("--duration", command.duration, "No request to a server is due after this time")
      ->type_name("TIME")
      ->default_str("until --requests are answered")
      ->group(kGroup);
  app.add_option("--concurrency", command.concurrency, "Requests that are under way at once")
      ->type_name("N")
      ->transform(whole_number(1, kConcurrencyMax))
      ->default_str("16; with --rate 4096 at most")
      ->group(kGroup);
  app.add_option("--rate", command.rate,
                 "Requests a second, by a Poisson process, whether or not the server keeps up")
      ->type_name("R")
      ->check(number_range(0.001, 1e6))
      ->default_str("the next when one ends")
      ->group(kGroup);
  app.add_option("--warmup", command.n_warmup, "Requests to each server that are not measured")
      ->type_name("N")
      ->transform(whole_number(0, 10'000))
      ->capture_default_str()
      ->group(kGroup);
  app.add_option("--rounds", command.n_rounds, "In so many parts, the servers in turns")
      ->type_name("N")
      ->transform(whole_number(1, 1000))
      ->default_str("1; 2 to 4 with several servers")
      ->group(kGroup);
  app.add_option("--timeout", command.timeout, "For one request, from sending to its end")
      ->type_name("TIME")
      ->capture_default_str()
      ->group(kGroup);
}

CLI::Option* add_prompt_options(CLI::App& app, LoadCommand& command) {
  const char* const kGroup = "Prompts and answers";
  CLI::Option* const lengths =
      app.add_option("--prompt-tokens", command.prompt_tokens, "Tokens of a prompt, N or A-B")
          ->type_name("N")
          ->capture_default_str()
          ->group(kGroup);
  app.add_option("--answer-tokens", command.answer_tokens,
                 "Tokens of an answer at most (max_tokens), N or A-B")
      ->type_name("N")
      ->capture_default_str()
      ->group(kGroup);
  app.add_flag("--ignore-eos", command.ignore_eos,
               "Exactly so many, where the server knows ignore_eos and min_tokens")
      ->group(kGroup);
  app.add_option("--prefix-tokens", command.prefix_tokens,
                 "Tokens in front of each prompt that the prompts of a group share")
      ->type_name("N")
      ->transform(whole_number(0, kLoadTokensMax))
      ->capture_default_str()
      ->group(kGroup);
  app.add_option("--prefix-groups", command.prefix_groups, "Groups of prompts")
      ->type_name("N")
      ->transform(whole_number(1, 1'000'000))
      ->capture_default_str()
      ->group(kGroup);
  app.add_option("--prompts", command.prompts_file,
                 "JSON Lines with \"messages\" or \"prompt\"; other fields are sent along")
      ->type_name("FILE")
      ->default_str("made of words")
      ->group(kGroup);
  app.add_option("--temperature", command.temperature, "Spread of the choice among tokens")
      ->type_name("T")
      ->check(number_range(0, 2))
      ->capture_default_str()
      ->group(kGroup);
  app.add_option("--seed", command.seed, "Another number: other prompts, lengths and arrivals")
      ->type_name("N")
      ->transform(whole_number())
      ->capture_default_str()
      ->group(kGroup);
  return lengths;
}

void add_output_options(CLI::App& app, LoadCommand& command) {
  const char* const kGroup = "Output";
  app.add_flag("--check", command.check,
               "Ask each prompt again and compare the answers; exit code 1 if they differ")
      ->group(kGroup);
  app.add_flag("--json", command.json, "One JSON document instead of the tables")->group(kGroup);
  app.add_option("--plot", command.plot, "A picture of times and throughput, SVG")
      ->type_name("FILE")
      ->default_str("none")
      ->group(kGroup);
  app.add_flag("--force", command.force, "Replace that file")->group(kGroup);
}

}  // namespace

void add_load(CLI::App& app, Invocation& invocation) {
  auto command = std::make_shared<LoadCommand>();
  add_server_options(app, *command);
  add_load_options(app, *command);
  const CLI::Option* const lengths = add_prompt_options(app, *command);
  add_output_options(app, *command);
  add_common_options(app, command->common, 0);
  set_example(app, "fathom load http://127.0.0.1:8080 --requests 200 --rate 4 --plot load.svg");
  invocation.run = [command, lengths] { return run_load(*command, lengths->count() > 0); };
}

}  // namespace fathom::cli
