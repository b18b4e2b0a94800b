// The data of a run: a loader for each stage of the curriculum, and what is held out of all of
// them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "train/data_loader.h"
#include "train/run_config.h"

namespace fathom {

class RunData {
 public:
  // Errors: shards that cannot be read, or that another vocabulary than the model's made.
  static Result<RunData> open(const RunConfig& run, int64_t vocab_size);

  // As TrainerHooks::sequence.
  Status sequence(int64_t stage, int64_t index, std::span<int32_t> tokens,
                  std::span<uint8_t> mask) const;
  // Held out of all stages' sources; nothing if the run evaluates never, or (validation_note() says
  // so) nothing is held out.
  const std::optional<DataLoader>& validation() const { return validation_; }
  const std::string& validation_note() const { return validation_note_; }
  // Of all stages, in their order.
  std::vector<SourceIdentity> identities() const;
  uint64_t tokenizer_digest() const { return stages_.front().tokenizer_digest(); }
  int64_t n_tokens(size_t stage) const { return stages_[stage].n_tokens(); }

 private:
  std::vector<DataLoader> stages_;
  std::optional<DataLoader> validation_;
  std::string validation_note_;
};

}  // namespace fathom
