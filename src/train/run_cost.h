// What a run costs, from its configuration alone: parameters, useful operations a token, memory,
// steps. `fathom train --dry-run` shows it, and the share of the machine's peak that a run reaches
// is counted with it.
#pragma once

#include <cstdint>

#include "model/config.h"
#include "model/parameters.h"
#include "train/run_config.h"

namespace fathom {

// Useful operations of one predicted token, forward and back: 6 for each activated parameter (the
// head counts, looking up the embedding does not), and 3 times those of causal attention; MTP
// modules included, recomputation not. One multiplication and one addition count as two.
double training_flops_per_token(const ModelConfig& config, int64_t sequence_length);

struct RunMemory {
  int64_t masters = 0;    // F32
  int64_t gradients = 0;  // F32, with what the tree of micro-batches puts away
  int64_t moments = 0;
  int64_t weights = 0;  // as forward and backward read them
  int64_t total() const { return masters + gradients + moments + weights; }
};

struct RunCost {
  ParameterCount parameters;
  double flops_per_token = 0;
  RunMemory memory;  // without activations, which depend on micro_batch and precision
  int64_t steps = 0;
  int64_t tokens = 0;
  double flops() const { return flops_per_token * static_cast<double>(tokens); }
};

RunCost run_cost(const RunConfig& run, const ModelConfig& config);

}  // namespace fathom
