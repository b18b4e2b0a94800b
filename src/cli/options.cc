#include "cli/options.h"

#include <charconv>
#include <cmath>
#include <limits>

#include "base/str_cat.h"
#include "cli/output.h"
#include "parallel/pool.h"

namespace fathom::cli {
namespace {

struct Unit {
  std::string_view name;  // lower case
  double bytes;
};
constexpr Unit kUnits[] = {{"", 1},
                           {"b", 1},
                           {"kb", 1e3},
                           {"mb", 1e6},
                           {"gb", 1e9},
                           {"tb", 1e12},
                           {"kib", 1024.},
                           {"mib", 1024. * 1024},
                           {"gib", 1073741824.0},
                           {"tib", 1099511627776.0}};

void add_threads(CLI::App& app, CommonOptions& options) {
  app.add_option("--threads", options.threads, "Threads that compute")
      ->type_name("N")
      ->transform(whole_number(1, 4096))
      ->default_str("the cores this process may use")
      ->group("Computation");
}

void add_isa(CLI::App& app, CommonOptions& options) {
  add_choice_option(app, "--isa", options.isa,
                    {"auto", "ref", "avx2", "avx512", "avx512bf16", "amx", "neon"},
                    "Instruction set of the kernels; auto takes the best this machine has")
      ->group("Computation");
}

void add_compute(CLI::App& app, CommonOptions& options) {
  add_threads(app, options);
  add_isa(app, options);
  add_choice_option(
      app, "--activations", options.activations, {"auto", "fp8", "int8", "bf16", "full"},
      "What enters a linear layer: E4M3 in tiles, INT8 in tiles, rounded to BF16, or F32 as it is; "
      "auto: what the weights are made for")
      ->group("Computation");
  add_choice_option(app, "--attention", options.attention, {"auto", "naive", "absorbed"},
                    "Form of multi-head latent attention; auto takes the faster one")
      ->group("Computation");
}

void add_cache(CLI::App& app, CommonOptions& options) {
  app.add_option("--context", options.context, "Tokens of context to make room for")
      ->type_name("N")
      ->transform(whole_number(1, 1'000'000'000))
      ->default_str("the model's own")
      ->group("Memory");
  add_choice_option(app, "--kv-dtype", options.kv_dtype, {"auto", "bf16", "fp8", "f32"},
                    "Precision of the cache; auto: f32 with --activations full, else bf16")
      ->group("Memory");
}

}  // namespace

int CommonOptions::n_threads() const { return threads > 0 ? threads : available_cores(); }

void add_common_options(CLI::App& app, CommonOptions& options, unsigned groups) {
  if (groups & kModelOption) {
    app.add_option("--model", options.model, "A folder of weights as published, or a .gguf file")
        ->type_name("PATH")
        ->check([](const std::string& path) {
          return path.empty()
                     ? std::string("the path is empty; leave the option out for the embedded model")
                     : std::string();
        })
        ->default_str("the embedded model")
        ->group("Model");
  }
  if (groups & kComputeOptions) {
    add_compute(app, options);
  } else {
    if (groups & kThreadsOption) add_threads(app, options);
    if (groups & kIsaOption) add_isa(app, options);
  }
  if (groups & kCacheOptions) add_cache(app, options);
  if (groups & kDraftsOption) {
    add_choice_option(app, "--drafts", options.drafts, {"auto", "on", "off"},
                      "Multi-token prediction drafts the next token; auto: while that is faster")
        ->group("Computation");
  }
  if (groups & kMemoryOption) {
    add_size_option(
        app, "--max-memory", options.max_memory,
        "Use no more memory than this, as in 16GiB; what does not fit of the experts is read from "
        "disk when it is needed")
        ->default_str("no limit")
        ->group("Memory");
  }
  if (groups & kSeedOption) {
    app.add_option("--seed", options.seed, "Seed of everything random")
        ->type_name("N")
        ->transform(whole_number())
        ->default_str("0; in chat a new one each time")
        ->group("Computation");
  }
  add_choice_option(app, "--log-level", options.log_level, {"error", "warning", "info", "debug"},
                    "How much to say on standard error")
      ->group("General");
  app.add_flag("--quiet", options.quiet, "No progress and no notes: errors only")->group("General");
  app.parse_complete_callback([&options] {
    set_verbosity(options.quiet
                      ? LogLevel::kError
                      : log_level_from_name(options.log_level).value_or(LogLevel::kWarning),
                  options.quiet);
  });
}

Result<int64_t> parse_size(std::string_view text) {
  const auto fail = [&](std::string_view why) {
    return usage_error("'", text, "' is not a size", why,
                       "; write a number and KB, MB, GB, KiB, MiB or GiB, as in 16GiB");
  };
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, ec] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  if (ec != std::errc() || !std::isfinite(number) || std::signbit(number)) return fail("");
  std::string unit;
  for (const char* c = rest; c != end; ++c) {
    if (*c == ' ' && unit.empty()) continue;
    unit += (*c >= 'A' && *c <= 'Z') ? static_cast<char>(*c - 'A' + 'a') : *c;
  }
  for (const Unit& known : kUnits) {
    if (unit != known.name) continue;
    const double bytes = number * known.bytes;
    if (bytes >= static_cast<double>(std::numeric_limits<int64_t>::max()))
      return fail(" this machine can have");
    return static_cast<int64_t>(bytes);
  }
  return fail("");
}

CLI::Option* add_size_option(CLI::App& app, const std::string& name, std::optional<int64_t>& bytes,
                             const std::string& description) {
  CLI::Option* option = app.add_option(name, bytes, description);
  option->type_name("SIZE");
  option->transform(CLI::Validator(
      [](std::string& text) -> std::string {
        const Result<int64_t> size = parse_size(text);
        if (!size.ok()) return size.error().message;
        text = str_cat(size.value());
        return {};
      },
      "", "size"));
  return option;
}

CLI::Option* add_choice_option(CLI::App& app, const std::string& name, std::string& value,
                               const std::vector<std::string>& choices,
                               const std::string& description) {
  CLI::Option* option = app.add_option(name, value, description)->capture_default_str();
  std::string joined;
  for (const std::string& choice : choices) joined += (joined.empty() ? "" : "|") + choice;
  option->type_name(joined);
  option->check(CLI::Validator(
      [choices, joined](std::string& text) -> std::string {
        for (const std::string& choice : choices) {
          if (text == choice) return {};
        }
        return str_cat("'", text, "' is none of ", joined);
      },
      "", "choice"));
  return option;
}

CLI::Validator number_range(double low, double high) {
  return CLI::Validator(
      [low, high](std::string& text) -> std::string {
        double number = 0;
        const char* const end = text.data() + text.size();
        const auto [rest, ec] = std::from_chars(text.data(), end, number);
        if (ec != std::errc() || rest != end || !std::isfinite(number))
          return str_cat("'", text, "' is not a number");
        if (number < low || number > high)
          return str_cat(text, " is not between ", low, " and ", high);
        return {};
      },
      "", "range");
}

CLI::Validator whole_number(uint64_t low, uint64_t high) {
  return CLI::Validator(
      [low, high](std::string& text) -> std::string {
        uint64_t number = 0;
        const char* const end = text.data() + text.size();
        const auto [rest, ec] = std::from_chars(text.data(), end, number);
        if (ec == std::errc() && rest == end && number >= low && number <= high) {
          text = str_cat(number);  // CLI11 would read 010 as eight
          return {};
        }
        return str_cat("'", text, "' is not a whole number from ", low, " to ", high);
      },
      "", "whole number");
}

std::optional<LogLevel> log_level_from_name(std::string_view name) {
  if (name == "error") return LogLevel::kError;
  if (name == "warning") return LogLevel::kWarning;
  if (name == "info") return LogLevel::kInfo;
  if (name == "debug") return LogLevel::kDebug;
  return std::nullopt;
}

}  // namespace fathom::cli
