#include "train/run_config.h"

#include <algorithm>
#include <cmath>

#include "base/xxh64.h"
#include "io/files.h"
#include "train/config_reader.h"

namespace fathom {
namespace {

constexpr int64_t kConfigBytesMax = int64_t{16} << 20;
constexpr int64_t kSequenceMax = int64_t{1} << 20;
constexpr int64_t kBatchMax = int64_t{1} << 20;
constexpr double kNumberMax = 1e6;

// Names of the root that do not decide the weights.
const char* const kFreeNames[] = {"output",   "relative_to", "steps",      "tokens",
                                  "evaluate", "sample",      "checkpoints"};

std::vector<DataSourceConfig> read_sources(ConfigReader& reader) {
  std::vector<DataSourceConfig> sources;
  for (ConfigReader& source : reader.tables("sources")) {
    DataSourceConfig& out = sources.emplace_back();
    source.text("path", out.path);
    source.number("weight", out.weight, 0.0, kNumberMax);
    if (out.weight == 0) source.fail("weight", "is 0; leave the source out, or give it a share");
    if (out.path.empty()) source.fail("", "has no path");
    source.finish();
  }
  return sources;
}

void read_data(ConfigReader data, RunConfig& run) {
  data.integer("sequence_length", run.sequence_length, 2, kSequenceMax);
  data.curve("batch", run.batch, 0, 1, static_cast<double>(kBatchMax));
  data.integer("micro_batch", run.micro_batch, 1, kBatchMax);
  if (data.has("stages") == data.has("sources"))
    data.fail("", "needs sources, or stages with sources each");
  if (data.has("sources")) run.stages.push_back({.sources = read_sources(data)});
  int64_t reached_step = 0, reached_tokens = 0;
  std::vector<ConfigReader> stages;
  if (data.has("stages")) stages = data.tables("stages");
  for (size_t i = 0; i < stages.size(); ++i) {
    ConfigReader& reader = stages[i];
    DataStage stage;
    int64_t until_tokens = 0, until_step = 0;
    reader.count("until_tokens", until_tokens);
    reader.count("until_step", until_step);
    stage.sources = read_sources(reader);
    reader.finish();
    const bool one_end = (until_tokens > 0) != (until_step > 0);
    if (i + 1 < stages.size() && !one_end)
      reader.fail("", "needs until_tokens or until_step, one of them");
    stage.unit = until_step > 0 ? CurveUnit::kSteps : CurveUnit::kTokens;
    stage.until = until_tokens + until_step;
    if (stage.sources.empty()) reader.fail("", "has no sources");
    int64_t& reached = stage.unit == CurveUnit::kSteps ? reached_step : reached_tokens;
    if (one_end && stage.until <= reached) {
      reader.fail("", str_cat("ends at ", stage.until,
                              stage.unit == CurveUnit::kSteps ? " steps" : " tokens",
                              ", where a stage before it has ended; ends must rise"));
    }
    if (one_end) reached = stage.until;
    run.stages.push_back(std::move(stage));
  }
  data.finish();
  if (run.sequence_length == 0) data.fail("", "has no sequence_length");
  if (run.batch.pieces.empty() && run.batch.rest < 1) data.fail("", "has no batch (sequences)");
  std::vector<double> batches = {run.batch.rest};
  for (const CurvePiece& piece : run.batch.pieces) batches.push_back(piece.value);
  for (const double batch : batches) {
    if (batch != std::floor(batch))
      data.fail("batch", str_cat("is ", batch, ", expected a whole number of sequences"));
  }
}

void read_model(ConfigReader model, RunConfig& run) {
  model.text("config", run.config_path);
  model.text("init", run.init);
  model.number("init_std", run.init_std, 0.0, 10.0);
  if (const TomlValue* fields = model.raw("inline"))
    run.inline_json = toml_to_json(*fields).dump_pretty() + "\n";
  ConfigReader yarn = model.table("yarn");
  yarn.number("factor", run.yarn_factor, 1.0, kNumberMax);
  yarn.count("original_max_position_embeddings", run.yarn_original);
  yarn.finish();
  if ((run.yarn_factor > 0) != (run.yarn_original > 0))
    yarn.fail("", "needs factor and original_max_position_embeddings");
  const int n = int{!run.config_path.empty()} + int{!run.inline_json.empty()};
  if (n > 1) model.fail("", "has both config and inline; give one");
  if (n == 0 && run.init.empty()) model.fail("", "needs config, inline or init");
  model.finish();
}

void read_recipe(ConfigReader& root, RunConfig& run) {
  ConfigReader optimizer = root.table("optimizer");
  OptimizerConfig& o = run.optimizer;
  optimizer.curve("learning_rate", run.learning_rate, 0, 0, 10);
  optimizer.number("beta1", o.beta1, 0, 0.999999);
  optimizer.number("beta2", o.beta2, 0, 0.999999);
  optimizer.number("eps", o.eps, 1e-30, 1);
  optimizer.number("weight_decay", o.weight_decay, 0, 10);
  optimizer.number("clip", o.clip, 0, kNumberMax);
  std::string moments = "bf16";
  optimizer.choice("moments", moments, {"bf16", "f32"});
  o.bf16_moments = moments == "bf16";
  optimizer.finish();
  if (run.learning_rate == Curve::constant(0)) {
    const bool given = optimizer.has("learning_rate");
    optimizer.fail(given ? "learning_rate" : "",
                   given ? "is 0, which learns nothing" : "has no learning_rate");
  }

  ConfigReader mtp = root.table("mtp");
  mtp.curve("lambda", run.mtp_lambda, 0, 0, 10);
  mtp.finish();

  ConfigReader balance = root.table("balance");
  balance.curve("bias_speed", run.balance.bias_speed, 0, 0, 1);
  balance.number("alpha", run.balance.sequence_alpha, 0, 10);
  std::string scope = "sequence";
  balance.choice("scope", scope, {"sequence", "batch"});
  run.balance.batch_wise = scope == "batch";
  balance.finish();

  ConfigReader spikes = root.table("spikes");
  spikes.number("factor", run.spikes.factor, 0, kNumberMax);
  spikes.integer("warmup_steps", run.spikes.warmup_steps, 1);
  spikes.boolean("rollback", run.spikes.rollback);
  spikes.integer("rollbacks_max", run.spikes.rollbacks_max, 0);
  spikes.finish();
}

void read_outputs(ConfigReader& root, RunConfig& run) {
  ConfigReader evaluate = root.table("evaluate");
  evaluate.integer("every", run.evaluate_every, 0);
  evaluate.integer("sequences", run.evaluate_sequences, 1);
  evaluate.finish();
  ConfigReader sample = root.table("sample");
  sample.integer("every", run.sample_every, 0);
  sample.integer("tokens", run.sample_tokens, 1);
  sample.number("temperature", run.sample_temperature, 0, 100);
  sample.texts("prompts", run.prompts);
  sample.finish();
  ConfigReader checkpoints = root.table("checkpoints");
  checkpoints.integer("every", run.checkpoint_every, 0);
  checkpoints.integer("keep", run.keep, 0);
  checkpoints.finish();
}

std::string resolved(const std::string& path, const std::string& folder) {
  return path.empty() || path.starts_with("/") ? path : join_path(folder, path);
}

void resolve_paths(RunConfig& run) {
  for (std::string* path : {&run.output, &run.config_path, &run.init, &run.tokenizer})
    *path = resolved(*path, run.relative_to);
  for (DataStage& stage : run.stages) {
    for (DataSourceConfig& source : stage.sources)
      source.path = resolved(source.path, run.relative_to);
  }
}

uint64_t digest_of(const TomlValue& document) {
  TomlValue decides = document;
  std::erase_if(decides.members, [](const auto& member) {
    return std::find(std::begin(kFreeNames), std::end(kFreeNames), member.name) !=
           std::end(kFreeNames);
  });
  Xxh64 hash;
  hash.update(dump_toml(decides));
  return hash.digest();
}

Status apply_sets(TomlValue& document, const std::vector<std::string>& sets) {
  for (const std::string& set : sets) {
    const size_t equals = set.find('=');
    if (equals == std::string::npos || equals == 0)
      return usage_error("--set takes name=value, got '", set, "'");
    const Status status =
        document.set(set.substr(0, equals), parse_toml_value(set.substr(equals + 1)));
    if (!status.ok()) return usage_error("--set ", set, ": ", status.error().message);
  }
  return {};
}

}  // namespace

Result<RunConfig> parse_run_config(std::string_view text, const std::string& file,
                                   const std::string& folder,
                                   const std::vector<std::string>& sets) {
  RunConfig run;
  run.file = file;
  run.relative_to = folder;
  FATHOM_TRY(run.document, parse_toml(text, file));
  FATHOM_RETURN_IF_ERROR(apply_sets(run.document, sets));
  ConfigReader root(run.document, run.file);
  root.text("relative_to", run.relative_to);
  run.relative_to = resolved(run.relative_to, folder);
  root.text("output", run.output);
  int64_t seed = 1;
  root.integer("seed", seed, 0);
  run.seed = static_cast<uint64_t>(seed);
  root.count("steps", run.steps);
  root.count("tokens", run.tokens);
  root.choice("precision", run.precision, {"fp8", "bf16", "fp32"});
  root.text("tokenizer", run.tokenizer);
  read_model(root.table("model"), run);
  read_data(root.table("data"), run);
  read_recipe(root, run);
  read_outputs(root, run);
  root.finish();
  if (run.output.empty()) root.fail("", "the run has no output (a folder)");
  if (run.steps == 0 && run.tokens == 0) root.fail("", "the run has no end: give steps or tokens");
  if (run.sample_every > 0 && (run.tokenizer.empty() || run.prompts.empty()))
    root.fail("sample", "needs a tokenizer and prompts");
  FATHOM_RETURN_IF_ERROR(root.status());
  resolve_paths(run);
  run.digest = digest_of(run.document);
  return run;
}

Result<RunConfig> read_run_config(const std::string& file, const std::vector<std::string>& sets) {
  FATHOM_TRY(const std::string text, read_file(file, kConfigBytesMax));
  const size_t slash = file.rfind('/');
  std::string folder = slash == std::string::npos ? "." : file.substr(0, slash + 1);
  FATHOM_TRY(folder, absolute_path(folder));
  return parse_run_config(text, file, folder, sets);
}

std::string write_run_config(const RunConfig& config) {
  TomlValue document = config.document;
  TomlValue folder;
  folder.type = TomlValue::Type::kString;
  folder.text = config.relative_to;
  FATHOM_CHECK(document.set("relative_to", folder).ok(), "a root is a table");
  return dump_toml(document);
}

}  // namespace fathom
