// A training run as one readable file (TOML): the model, the text, the recipe, what is kept and
// shown. docs/training.md explains every field; examples/train/ has whole files. Everything that
// decides the weights stands here, so that the same file, data and seed give the same bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/toml.h"
#include "model/config.h"
#include "train/schedule.h"

namespace fathom {

struct DataSourceConfig {
  std::string path;  // a folder of shards
  double weight = 1;
};

// A part of the curriculum. Its sequences are numbered from 0.
struct DataStage {
  CurveUnit unit = CurveUnit::kTokens;
  int64_t until = 0;  // exclusive; of the last stage without a meaning
  std::vector<DataSourceConfig> sources;
};

struct BalanceConfig {
  Curve bias_speed = Curve::constant(0.001);  // gamma; 0: no update
  double sequence_alpha = 1e-4;               // strength of the balance loss
  bool batch_wise = false;                    // the loss over a whole micro-batch, not a sequence
};

struct OptimizerConfig {
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weight_decay = 0.1;
  double clip = 1.0;         // global norm; 0: gradients are not clipped
  bool bf16_moments = true;  // else F32
};

struct SpikeConfig {
  double factor = 8;  // of the loss's usual deviation above its mean; 0: nothing is looked for
  int64_t warmup_steps = 100;
  bool rollback = false;       // go back to the last checkpoint and pass over the batches since
  int64_t rollbacks_max = 10;  // then the run goes on, spike or not
};

struct RunConfig {
  std::string file;         // for messages
  std::string relative_to;  // the folder that paths in the file start from
  std::string output;
  uint64_t seed = 1;
  int64_t steps = 0, tokens = 0;  // the run ends at the first that is reached; 0: no such end

  std::string config_path;    // config.json; empty: inline, or of init
  std::string inline_json;    // config.json written in the file
  std::string init;           // a checkpoint to start from; empty: from nothing
  double init_std = 0.006;    // of initial weights
  std::string tokenizer;      // a folder; empty: without text (no samples, no bits per byte)
  double yarn_factor = 0;     // > 0: extend the context (spec §6.8)
  int64_t yarn_original = 0;  // positions before the extension

  std::string precision = "fp8";  // fp8, bf16, fp32
  int64_t sequence_length = 0;
  Curve batch = Curve::constant(0);  // sequences
  int64_t micro_batch = 1;           // sequences of one pass; part of the result
  std::vector<DataStage> stages;

  OptimizerConfig optimizer;
  Curve learning_rate = Curve::constant(0);
  Curve mtp_lambda = Curve::constant(0.3);
  BalanceConfig balance;
  SpikeConfig spikes;

  int64_t evaluate_every = 0, evaluate_sequences = 64;  // 0: never
  int64_t checkpoint_every = 0, keep = 3;               // 0: at the end only; keep 0: all
  int64_t sample_every = 0, sample_tokens = 64;
  double sample_temperature = 0.8;
  std::vector<std::string> prompts;

  // What decides the weights: a checkpoint of another digest is not continued. The run's end, what
  // is kept and what is shown are not part of it.
  uint64_t digest = 0;
  TomlValue document;  // as read, with what was set
};

// sets: "name=value" with dotted names, as --set takes them. file is read from disk.
Result<RunConfig> read_run_config(const std::string& file, const std::vector<std::string>& sets);
// Of a text; relative paths start from folder unless the text says relative_to.
Result<RunConfig> parse_run_config(std::string_view text, const std::string& file,
                                   const std::string& folder, const std::vector<std::string>& sets);
// The configuration as a file that gives the same run from any folder.
std::string write_run_config(const RunConfig& config);

// config.json of the run's model, with what precision and YaRN change in it, as checkpoints hold
// it.
struct RunModel {
  ModelConfig config;
  std::string json;
};
Result<RunModel> run_model(const RunConfig& run);
// That of a run which is resumed: of its latest checkpoint, whatever has become of the files that
// it began with. Error: no complete checkpoint.
Result<RunModel> resumed_run_model(const RunConfig& run);

}  // namespace fathom
