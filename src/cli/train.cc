// fathom train: a run from its configuration (docs/training.md). What it is, stands in the file;
// what is here connects it to the machine, the terminal and the person.
#include <sys/time.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/seconds_since.h"
#include "base/xxh64.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/train_report.h"
#include "engine/machine.h"
#include "io/checkpoint_save.h"
#include "io/files.h"
#include "io/model_files.h"
#include "kernels/machine_limits.h"
#include "model/open_model.h"
#include "model/trainable_model.h"
#include "tokenizer/load_tokenizer.h"
#include "train/document_tokens.h"
#include "train/model_trainee.h"
#include "train/run_config.h"
#include "train/run_data.h"
#include "train/run_engine.h"
#include "train/trainer.h"

namespace fathom::cli {
namespace {

constexpr int64_t kPeakMilliseconds = 100;
constexpr double kPeakSeconds = 60;  // between two measurements
constexpr double kLineSeconds = 10;  // between lines of progress
// What a folder needs beside the weights to be talked to.
constexpr const char* kTokenizerFiles[] = {"tokenizer.json", "tokenizer_config.json",
                                           "tiktoken.model", "chat_template.jinja",
                                           "generation_config.json"};

struct TrainOptions {
  CommonOptions common;
  std::string config;
  std::string resume;
  std::vector<std::string> sets;
  bool dry_run = false;
  bool json = false;
};

using Clock = std::chrono::steady_clock;

// A run that is set up: everything that its hooks need, in the order in which it is made.
class TrainRun {
 public:
  TrainRun(const TrainOptions& options, RunConfig run, RunModel shape, Isa isa)
      : options_(options),
        run_(std::move(run)),
        shape_(std::move(shape)),
        pool_(options.common.n_threads()),
        compute_{isa, &pool_},
        line_start_(Clock::now()) {}

  Status dry_run() {
    DryRun out = {.cost = run_cost(run_, shape_.config),
                  .activation_bytes = activation_bytes(),
                  .peak_gflop_s = MachineMeter::bf16_gflop_s(compute_, kPeakMilliseconds),
                  .isa = std::string(isa_name(compute_.isa)),
                  .threads = pool_.n_threads()};
    return standard_output().write(options_.json ? dry_run_json(out).dump_pretty() + "\n"
                                                 : dry_run_text(out));
  }

  Status run() {
    FATHOM_RETURN_IF_ERROR(open_inputs());
    FATHOM_RETURN_IF_ERROR(make_model());
    ModelTrainee trainee(*model_);
    FATHOM_TRY(const std::unique_ptr<Trainer> trainer,
               Trainer::create(run_, compute_, trainee, hooks(), !options_.resume.empty()));
    progress_.emplace(run_, training_flops_per_token(shape_.config, run_.sequence_length));
    measure_peak();
    line_start_ = Clock::now();
    InterruptScope scope(/*also_term=*/true);
    const Status status = trainer->run();
    if (!status.ok() && status.error().code == ErrorCode::kInterrupted) {
      wipe();
      print_note(str_cat("stopped after step ", trainer->state().step,
                         ", of which a checkpoint is written; fathom train --resume ", run_.output,
                         " goes on"));
    }
    if (status.ok()) print_note(str_cat("the run is complete: ", run_.output));
    return status;
  }

 private:
  Status open_inputs() {
    FATHOM_TRY(RunData data, RunData::open(run_, shape_.config.vocab_size));
    data_.emplace(std::move(data));
    if (!data_->validation_note().empty()) print_note(data_->validation_note());
    if (run_.tokenizer.empty()) return {};
    FATHOM_TRY(ModelFiles files, ModelFiles::open_folder(run_.tokenizer));
    FATHOM_TRY(Tokenizer tokenizer, load_tokenizer(files));
    if (tokenizer_digest(tokenizer) != data_->tokenizer_digest())
      return invalid_error(run_.file, ": the data were made with another tokenizer than ",
                           run_.tokenizer);
    tokenizer_files_.emplace(std::move(files));
    tokenizer_.emplace(std::move(tokenizer));
    return {};
  }

  Status make_model() {
    TrainableOptions options;
    options.precision = training_precision(run_.precision);
    options.max_sequences = run_.micro_batch;
    options.sequence_length = run_.sequence_length;
    options.seed = run_.seed;
    options.init_std = run_.init_std;
    if (!run_.init.empty() && options_.resume.empty()) {
      FATHOM_TRY(const std::string folder, latest_model_folder(run_.init));
      FATHOM_TRY(const OpenedModel opened, open_model(folder));
      options.checkpoint = opened.checkpoint;
    }
    FATHOM_RETURN_IF_ERROR(check_memory());
    FATHOM_TRY(model_, TrainableModel::create(shape_.config, options, compute_));
    FATHOM_TRY(engine_, RunEngine::create(model_->config(), model_->weights(),
                                          tokenizer_ ? &*tokenizer_ : nullptr, run_.sequence_length,
                                          compute_));
    // A run should not end at its first samples, hours from now.
    return run_.sample_every > 0 ? engine_->check_prompts(run_.prompts) : Status();
  }

  int64_t activation_bytes() const {
    return TrainableModel::activation_bytes(shape_.config, training_precision(run_.precision),
                                            run_.micro_batch, run_.sequence_length);
  }

  // The plan counts less than a run takes, so that what it refuses could not have run.
  Status check_memory() const {
    const int64_t needed = run_cost(run_, shape_.config).memory.total() + activation_bytes();
    const auto sentence = [needed](int64_t there, const char* what) {
      return str_cat("this run needs about ", needed >> 20, " MiB, and this machine has ",
                     there >> 20, what, "; a smaller data.micro_batch needs less");
    };
    if (needed > total_memory_bytes())
      return exhausted_error(run_.file, ": ", sentence(total_memory_bytes(), " MiB"));
    if (needed > available_memory_bytes())
      print_note(sentence(available_memory_bytes(), " MiB free"));
    return {};
  }

  TrainerHooks hooks() {
    TrainerHooks out;
    Xxh64 model;
    model.update(shape_.json);
    out.inputs = {.model = model.digest(), .sources = data_->identities()};
    out.sequence = [this](int64_t stage, int64_t index, std::span<int32_t> tokens,
                          std::span<uint8_t> mask) {
      return data_->sequence(stage, index, tokens, mask);
    };
    out.save_weights = [this](const std::string& folder) { return save_weights(folder); };
    if (data_->validation()) out.evaluate = [this] { return evaluate(); };
    if (tokenizer_ && !run_.prompts.empty()) {
      out.sample = [this] {
        return engine_->sample(run_.prompts, run_.sample_tokens, run_.sample_temperature,
                               run_.seed);
      };
    }
    out.report = [this](const StepReport& report) { show(report); };
    out.note = [this](const std::string& text) {
      wipe();
      print_note(text);
    };
    out.wall_time = [] {
      timeval now = {};
      gettimeofday(&now, nullptr);
      return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_usec) * 1e-6;
    };
    out.stop = [] { return interrupted(); };
    return out;
  }

  Result<Evaluation> evaluate() {
    const DataLoader& held_out = *data_->validation();
    return engine_->evaluate(
        [&](int64_t i, std::span<int32_t> tokens, std::span<uint8_t> mask) {
          return held_out.sequence(i, tokens, mask);
        },
        std::min(run_.evaluate_sequences, held_out.n_sequences()));
  }

  // A checkpoint is a model folder that every command runs.
  Status save_weights(const std::string& folder) {
    FATHOM_RETURN_IF_ERROR(save_checkpoint(model_->checkpoint(), shape_.json, folder, {}));
    if (!tokenizer_files_) return {};
    for (const char* name : kTokenizerFiles) {
      if (!tokenizer_files_->exists(name)) continue;
      FATHOM_TRY(const FileBytes bytes, tokenizer_files_->open(name));
      FATHOM_RETURN_IF_ERROR(write_file(join_path(folder, name), bytes.text(), /*force=*/true));
    }
    return {};
  }

  // Again each minute: a machine that others use too shows less at times.
  void measure_peak() {
    progress_->saw_peak(MachineMeter::bf16_gflop_s(compute_, kPeakMilliseconds));
    peak_measured_ = Clock::now();
  }

  // On a terminal one line that changes, else a line now and then.
  void show(const StepReport& report) {
    const double seconds = seconds_since(line_start_);
    const bool terminal = isatty(STDERR_FILENO) != 0;
    const double between = terminal ? 1 : kLineSeconds;
    if (quiet() || (shown_ && seconds < between)) return;
    if (seconds_since(peak_measured_) > kPeakSeconds) measure_peak();
    const std::string text = progress_->text(report, seconds);
    line_start_ = Clock::now();
    shown_ = true;
    if (!terminal) {
      print_note(text);
      return;
    }
    wipe();
    write_error(text);
    visible_ = true;
  }
  void wipe() {
    if (visible_) write_error("\r\033[K");
    visible_ = false;
  }
  static void write_error(const std::string& text) {
    if (::write(STDERR_FILENO, text.data(), text.size()) < 0) return;  // nowhere to say it
  }

  const TrainOptions& options_;
  const RunConfig run_;
  const RunModel shape_;
  Pool pool_;
  const Compute compute_;
  std::optional<RunData> data_;
  std::optional<ModelFiles> tokenizer_files_;
  std::optional<Tokenizer> tokenizer_;
  std::unique_ptr<TrainableModel> model_;
  std::unique_ptr<RunEngine> engine_;
  std::optional<ProgressLine> progress_;
  Clock::time_point line_start_, peak_measured_;
  bool shown_ = false, visible_ = false;
};

Status run_train(const TrainOptions& options) {
  if (options.config.empty() && options.resume.empty())
    return usage_error("CONFIG is needed, or --resume with the folder of a run");
  std::vector<std::string> sets = options.sets;
  std::string file = options.config;
  if (!options.resume.empty()) {
    FATHOM_TRY(const std::string folder, absolute_path(options.resume));
    if (file.empty()) file = join_path(folder, "run.toml");
    sets.push_back("output=" + folder);
  }
  FATHOM_TRY(RunConfig run, read_run_config(file, sets));
  FATHOM_TRY(RunModel shape, options.resume.empty() ? run_model(run) : resumed_run_model(run));
  FATHOM_TRY(const Isa isa, select_isa(options.common.isa));
  TrainRun train(options, std::move(run), std::move(shape), isa);
  return options.dry_run ? train.dry_run() : train.run();
}

}  // namespace

void add_train(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<TrainOptions>();
  app.add_option("CONFIG", options->config, "A run's configuration (TOML); examples/train has some")
      ->default_str("of --resume, the one it began with");
  app.add_option("--resume", options->resume, "Go on with the run in this folder")
      ->type_name("DIR")
      ->default_str("a new run")
      ->group("Run");
  app.add_option("--set", options->sets,
                 "Another value for a field of the configuration, as in data.micro_batch=4; again "
                 "for more")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false)
      ->default_str("what the file says")
      ->group("Run");
  app.add_flag("--dry-run", options->dry_run,
               "Say what the run would take (parameters, memory, operations, time), and stop")
      ->group("Run");
  app.add_flag("--json", options->json, "With --dry-run: as JSON")->group("Run");
  add_common_options(app, options->common, kThreadsOption | kIsaOption);
  set_example(app, "fathom train examples/train/tiny.toml");
  invocation.run = [options] { return run_train(*options); };
}

}  // namespace fathom::cli
