// fathom bench: how fast a model runs on this machine, beside what the machine could do at most.
#include <algorithm>
#include <charconv>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "cli/bench_model.h"
#include "cli/bench_report.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "engine/machine.h"

namespace fathom::cli {

namespace {

constexpr int64_t kTokensMax = 10'000'000;
constexpr int64_t kBatchMax = 4096;
constexpr int64_t kTestsMax = 1000;

struct BenchCommand {
  BenchModelOptions model;
  std::string prompt, depth, batch;  // empty: the defaults, as far as the model's context allows
  std::optional<double> acceptance;
  BenchOptions bench;
  bool json = false;
};

// "512,2048", or "none".
Result<std::vector<int64_t>> parse_list(std::string_view option, std::string_view text, int64_t low,
                                        int64_t high) {
  std::vector<int64_t> values;
  if (text == "none") return values;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (true) {
    int64_t value = 0;
    const auto parsed = std::from_chars(at, end, value);
    if (parsed.ec != std::errc() || value < low || value > high ||
        (parsed.ptr != end && *parsed.ptr != ','))
      break;
    values.push_back(value);
    if (parsed.ptr == end) return values;
    at = parsed.ptr + 1;
  }
  return usage_error(option, " is '", text, "', expected whole numbers from ", low, " to ", high,
                     " with commas between them, or none");
}

DraftBenchOptions draft_options(const BenchCommand& command) {
  return {.acceptance = command.acceptance.value_or(0),
          .repeat = command.bench.repeat,
          .attention = command.bench.attention,
          .seed = command.bench.seed,
          .on_run = command.bench.on_run};
}

// All prefill tests, then all decode tests. Of the defaults only those that fit into the context.
Result<std::vector<BenchTest>> choose_tests(const BenchCommand& command, int64_t model_context) {
  const int64_t context =
      std::min(command.model.common.context.value_or(model_context), model_context);
  const auto list = [](const std::string& given, const char* otherwise) {
    return given.empty() ? otherwise : given;
  };
  FATHOM_TRY(const std::vector<int64_t> prompts,
             parse_list("--prompt", list(command.prompt, "512"), 1, kTokensMax));
  FATHOM_TRY(const std::vector<int64_t> depths,
             parse_list("--depth", list(command.depth, "0,4096"), 0, kTokensMax));
  FATHOM_TRY(const std::vector<int64_t> batches,
             parse_list("--batch", list(command.batch, "1,4,16"), 1, kBatchMax));
  std::vector<BenchTest> tests;
  for (const int64_t n : prompts) {
    for (const int64_t depth : depths) tests.push_back({BenchTest::Kind::kPrefill, n, 1, depth});
  }
  for (const int64_t depth : depths) {
    for (const int64_t n : batches) tests.push_back({BenchTest::Kind::kDecode, 0, n, depth});
  }
  if (static_cast<int64_t>(tests.size()) > kTestsMax) {
    return usage_error("--prompt, --depth and --batch ask for ", tests.size(), " tests, at most ",
                       kTestsMax, " are run");
  }
  // Too much by what was given, whatever the defaults add.
  const auto asked_for = [&](BenchTest test) {
    if (command.prompt.empty()) test.n_prompt = 1;
    if (command.depth.empty()) test.depth = 0;
    return test.positions() > context;
  };
  if (command.acceptance) {
    const int64_t needed = draft_bench_limits(draft_options(command)).max_context;
    if (needed > context)
      return invalid_error("--acceptance needs ", needed, " positions, but the context is ",
                           context);
  }
  std::vector<BenchTest> fitting;
  for (const BenchTest& test : tests) {
    if (test.positions() <= context) {
      fitting.push_back(test);
    } else if (asked_for(test)) {
      return invalid_error("a test needs ", test.positions(), " positions (depth ", test.depth,
                           test.n_prompt > 0 ? str_cat(", prompt ", test.n_prompt) : std::string(),
                           "), but the context is ", context,
                           "; take a smaller --depth or --prompt");
    }
  }
  if (fitting.empty() && !command.acceptance)
    return usage_error(
        "there is nothing to measure; give --prompt, --depth and --batch, or --acceptance");
  return fitting;
}

Status check_usage(const BenchModelOptions& options) {
  const RandomModelOptions& random = options.random;
  const bool extras = !random.layers.empty() || random.vocab_size || random.mtp ||
                      !random.save.empty() || random.force;
  if (random.config.empty() != random.format.empty()) {
    return usage_error("random weights need both --config FILE and --random bf16|fp8|int8|int4");
  }
  if (random.config.empty() && extras) {
    return usage_error(
        "--layers, --vocab, --mtp, --save and --force are about random weights: give --config and "
        "--random "
        "too");
  }
  if (random.force && random.save.empty())
    return usage_error("--force is about --save: give a folder");
  if (!random.config.empty() && !options.common.model.empty()) {
    return usage_error("--model and --config both name a model; give one of them");
  }
  return {};
}

// The read bandwidth is measured on a buffer far larger than the caches, unless memory or time are
// too short for it.
int64_t meter_bytes(double seconds, std::optional<int64_t> max_memory) {
  constexpr int64_t kMax = int64_t{1} << 30, kMin = int64_t{64} << 20;
  const int64_t in_time =
      static_cast<int64_t>(std::min(seconds, 1.0) * 4 * static_cast<double>(kMax));
  return std::clamp(
      std::min(in_time, std::min(available_memory_bytes(), max_memory.value_or(INT64_MAX)) / 16),
      kMin, kMax);
}

Result<DraftBenchResult> measure_drafts(const BenchCommand& command, Transformer& model,
                                        const Bench& bench) {
  const MachineLimits before = bench.measure();
  FATHOM_TRY(DraftBenchResult result, bench_drafts(model, draft_options(command)));
  result.before = before;
  result.after = bench.measure();
  return result;
}

Status run_bench(BenchCommand& command) {
  BenchModelOptions& options = command.model;
  FATHOM_RETURN_IF_ERROR(check_usage(options));
  FATHOM_TRY(const Isa isa, select_isa(options.common.isa));
  Pool pool(options.common.n_threads());
  const Compute compute{.isa = isa, .pool = &pool};
  const MachineMeter meter(meter_bytes(command.bench.seconds, options.common.max_memory));
  options.meter_bytes = meter.buffer_bytes();
  options.seed = command.bench.seed;
  options.prefill_rows = command.bench.prefill_rows;
  if (command.acceptance) options.drafts = draft_options(command);

  std::vector<BenchTest> tests;
  FATHOM_TRY(const std::unique_ptr<BenchModel> model,
             load_bench_model(
                 options, compute, [&](int64_t context) { return choose_tests(command, context); },
                 tests));
  command.bench.attention = model->attention;
  const int64_t n_measures = std::ssize(tests) + (command.acceptance ? 1 : 0);
  Progress progress("measuring", n_measures * command.bench.repeat, "runs");
  int64_t n_runs = 0;
  command.bench.on_run = [&] { progress.update(++n_runs); };
  progress.update(0);
  FATHOM_TRY(Bench bench,
             Bench::create(*model->transformer, model->activations, meter, tests, command.bench));

  const BenchMachine machine{cpu_name(), std::string(isa_name(isa)), pool.n_threads()};
  const std::string head = bench_model_text(model->facts);
  std::vector<BenchResult> results;
  for (const BenchTest& test : tests) {
    FATHOM_TRY(BenchResult result, bench.run(test));
    results.push_back(std::move(result));
    if (command.json) continue;
    progress.hide();
    if (results.size() == 1) {
      FATHOM_RETURN_IF_ERROR(standard_output().write(
          bench_machine_text(machine, results.front().before) + head + bench_table_head()));
    }
    FATHOM_RETURN_IF_ERROR(standard_output().write_now(bench_table_row(results.back())));
  }
  std::optional<DraftBenchResult> drafts;
  if (command.acceptance) {
    FATHOM_TRY(drafts, measure_drafts(command, *model->transformer, bench));
    if (results.empty() && !command.json) {
      progress.hide();
      FATHOM_RETURN_IF_ERROR(
          standard_output().write(bench_machine_text(machine, drafts->before) + head));
    }
  }
  progress.hide();
  const int64_t peak_memory = peak_memory_bytes() - meter.buffer_bytes();
  if (model->streamed != nullptr) {
    model->facts.streaming = model->streamed->experts().stats();
    print_note(model->streamed->report());
  }
  if (command.json) {
    return standard_output().write(
        bench_json(machine, model->facts, results, drafts, peak_memory).dump_pretty() + "\n");
  }
  return standard_output().write((drafts ? bench_drafts_text(*drafts) : "") +
                                 bench_end_text(results, drafts, peak_memory));
}

void add_test_options(CLI::App& app, BenchCommand& command) {
  const char* const kGroup = "Tests";
  app.add_option("--prompt", command.prompt,
                 "Prefill: tokens of a prompt, several with commas, or none")
      ->type_name("N,...")
      ->default_str("512")
      ->group(kGroup);
  app.add_option("--depth", command.depth, "Tokens in the cache before each test")
      ->type_name("N,...")
      ->default_str("0,4096 if the context allows")
      ->group(kGroup);
  app.add_option("--batch", command.batch,
                 "Decode: sequences at once, several with commas, or none")
      ->type_name("N,...")
      ->default_str("1,4,16")
      ->group(kGroup);
  app.add_option(
         "--acceptance", command.acceptance,
         "Also what drafts bring, by a drafter that is right so often; the MTP module runs, "
         "its drafts are replaced")
      ->type_name("X")
      ->check(number_range(0, 1))
      ->default_str("not measured")
      ->group(kGroup);
  app.add_option("--repeat", command.bench.repeat, "Runs of a test, of which the median counts")
      ->type_name("N")
      ->transform(whole_number(1, 1000))
      ->capture_default_str()
      ->group(kGroup);
  app.add_option("--seconds", command.bench.seconds,
                 "Time for a run at least, and for each of the machine's limits")
      ->type_name("X")
      ->check(number_range(0.001, 3600))
      ->capture_default_str()
      ->group(kGroup);
  app.add_option("--chunk", command.bench.prefill_rows, "Tokens of a prompt in one pass")
      ->type_name("N")
      ->transform(whole_number(1, 65536))
      ->capture_default_str()
      ->group(kGroup);
  app.add_option("--seed", command.bench.seed, "Another number: other tokens, other random weights")
      ->type_name("N")
      ->transform(whole_number())
      ->capture_default_str()
      ->group(kGroup);
  app.add_flag("--json", command.json, "One JSON document instead of the table")->group("Output");
}

void add_random_options(CLI::App& app, BenchCommand& command) {
  const char* const kGroup = "Random weights";
  RandomModelOptions& random = command.model.random;
  app.add_option("--config", random.config, "A config.json whose weights are made in memory")
      ->type_name("FILE")
      ->default_str("none: the model's own weights")
      ->group(kGroup);
  add_choice_option(
      app, "--random", random.format, {"bf16", "fp8", "int8", "int4"},
      "What is made: fp8 quantises what published files quantise, int8 and int4 what convert "
      "--quantize does; the rest stays BF16 and F32")
      ->default_str("none")
      ->group(kGroup);
  app.add_option("--layers", random.layers, "How many layers, as in 1+2: dense and MoE")
      ->type_name("DENSE+MOE")
      ->default_str("those of the config")
      ->group(kGroup);
  app.add_option("--vocab", random.vocab_size, "Size of the vocabulary")
      ->type_name("N")
      ->transform(whole_number(1, 1 << 24))
      ->default_str("that of the config")
      ->group(kGroup);
  app.add_flag("--mtp", random.mtp, "With the MTP module")->group(kGroup);
  app.add_option("--save", random.save, "Write them out as a checkpoint that other programs read")
      ->type_name("DIR")
      ->default_str("kept in memory")
      ->group(kGroup);
  app.add_flag("--force", random.force, "Replace a model that is in that folder")->group(kGroup);
}

}  // namespace

void add_bench(CLI::App& app, Invocation& invocation) {
  auto command = std::make_shared<BenchCommand>();
  add_test_options(app, *command);
  add_random_options(app, *command);
  add_common_options(app, command->model.common,
                     kModelOption | kComputeOptions | kCacheOptions | kMemoryOption);
  set_example(
      app, "fathom bench --config DeepSeek-V3/config.json --layers 1+1 --vocab 32768 --random fp8");
  invocation.run = [command] { return run_bench(*command); };
}

}  // namespace fathom::cli
