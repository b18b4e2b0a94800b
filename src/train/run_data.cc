#include "train/run_data.h"

#include <algorithm>
#include <utility>

namespace fathom {
namespace {

// Each folder of all stages once.
std::vector<DataSource> all_sources(const RunConfig& run) {
  std::vector<DataSource> out;
  for (const DataStage& stage : run.stages) {
    for (const DataSourceConfig& source : stage.sources) {
      const bool there = std::any_of(out.begin(), out.end(),
                                     [&](const DataSource& s) { return s.path == source.path; });
      if (!there) out.push_back({source.path, 1});
    }
  }
  return out;
}

}  // namespace

Result<RunData> RunData::open(const RunConfig& run, int64_t vocab_size) {
  RunData out;
  for (size_t i = 0; i < run.stages.size(); ++i) {
    std::vector<DataSource> sources;
    for (const DataSourceConfig& source : run.stages[i].sources)
      sources.push_back({source.path, source.weight});
    FATHOM_TRY(DataLoader loader, DataLoader::open(sources, {.sequence_length = run.sequence_length,
                                                             .seed = run.seed + i,
                                                             .split = Split::kTrain}));
    if (loader.vocab_size() > vocab_size)
      return invalid_error(run.file, ": the shards of ", sources.front().path,
                           " have a vocabulary of ", loader.vocab_size(), ", the model of ",
                           vocab_size, "; make them with the model's tokenizer");
    if (!out.stages_.empty() && loader.tokenizer_digest() != out.tokenizer_digest())
      return invalid_error(run.file, ": the stages' shards were made with different tokenizers");
    out.stages_.push_back(std::move(loader));
  }
  if (run.evaluate_every == 0) return out;
  Result<DataLoader> held_out = DataLoader::open(
      all_sources(run),
      {.sequence_length = run.sequence_length, .seed = run.seed, .split = Split::kValidation});
  if (held_out.ok()) {
    out.validation_.emplace(std::move(*held_out));
  } else {
    out.validation_note_ = held_out.error().message;
  }
  return out;
}

std::vector<SourceIdentity> RunData::identities() const {
  std::vector<SourceIdentity> out;
  for (const DataLoader& stage : stages_) {
    for (SourceIdentity& source : stage.identities()) out.push_back(std::move(source));
  }
  return out;
}

Status RunData::sequence(int64_t stage, int64_t index, std::span<int32_t> tokens,
                         std::span<uint8_t> mask) const {
  return stages_[static_cast<size_t>(stage)].sequence(index, tokens, mask);
}

}  // namespace fathom
