// Where the routed experts' weights and rows of the embedding come from when not all of them are in
// memory. A pass asks, layer by layer, for the experts that its rows chose and computes with each
// as it becomes ready; in which order and in how many groups changes no result, since an expert's
// outputs are its own and a token adds them in ascending id (model/moe.cc). Implemented by the
// engine (engine/expert_cache.h).
#pragma once

#include <cstdint>
#include <span>

#include "base/result.h"
#include "model/weights.h"

namespace fathom {

struct ReadyExpert {
  int32_t id = 0;
  const MlpWeights* weights = nullptr;
};

class ExpertSource {
 public:
  virtual ~ExpertSource() = default;
  // Once before each pass. What went wrong in an earlier pass is forgotten.
  virtual void begin_pass() = 0;
  // The embedding's row of a token, as a matrix of one row. Its bytes stay until the next call.
  virtual LinearWeight embedding_row(int32_t token) = 0;
  // Asks for experts (ascending ids) of a layer, which counts the MTP modules too. Every group of
  // the request before must have been taken.
  virtual void request(int64_t layer, std::span<const int32_t> experts) = 0;
  // The next group of what was asked for, at least one; waits for it. Its weights stay until the
  // next call of any of these. Empty: all have been given, or status() is an error.
  virtual std::span<const ReadyExpert> next_group() = 0;
  // Of the pass: a file that could not be read. Its results are then worth nothing.
  virtual const Status& status() const = 0;
};

}  // namespace fathom
