// The files that `fathom score --logits` and `--trace` keep: tensors of all lines under the names
// of the contract (cli.md), streamed one line after the other.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/loaded_model.h"
#include "engine/scorer.h"
#include "io/safetensors.h"

namespace fathom::cli {

// One line of input, ready to score, or why it cannot be.
struct ScoreItem {
  int64_t line = 0;
  std::vector<int32_t> ids;
  std::optional<int64_t> n_bytes;  // of its text
  std::string error;
};

// Written beside and renamed by finish(). The header names all tensors, so all lines are known
// before the first is scored; those with an error have none.
class ScoreTensors {
 public:
  // logits.<line> [n_tokens, vocab_size], and with an MTP module mtp_logits.<line> [n_tokens - 1,
  // vocab_size].
  static Result<std::unique_ptr<ScoreTensors>> logits(const std::string& path, bool force,
                                                      const LoadedModel& model,
                                                      const std::vector<ScoreItem>& items);
  // hidden.<line>.<layer> [n_tokens, hidden_size], router.<line>.<layer>.indices and .weights.
  static Result<std::unique_ptr<ScoreTensors>> trace(const std::string& path, bool force,
                                                     const LoadedModel& model,
                                                     const std::vector<ScoreItem>& items);

  // The lines in their order, each with what its file keeps.
  Status add_logits(const Score& score);
  Status add_trace(const Score& score);
  Status finish() { return writer_.finish(); }

 private:
  ScoreTensors(SafetensorsWriter writer, bool has_mtp)
      : writer_(std::move(writer)), has_mtp_(has_mtp) {}
  static Result<std::unique_ptr<ScoreTensors>> create(const std::string& path, bool force,
                                                      const LoadedModel& model,
                                                      std::vector<TensorSpec> specs);
  template <typename T>
  Status add(const std::vector<T>& values);

  SafetensorsWriter writer_;
  bool has_mtp_;
  size_t next_ = 0;
};

}  // namespace fathom::cli
