// Whether a checkpoint holds what its config promises: every tensor there, none besides, each of
// the right shape and dtype, every scale a usable number. After it, weights.cc takes views without
// looking again.
#pragma once

#include <string>
#include <vector>

#include "io/checkpoint.h"
#include "model/config.h"
#include "model/weights.h"

namespace fathom {

struct CheckedTensors {
  int64_t n_mtp = 0;               // MTP modules that are there, the first ones
  std::vector<std::string> notes;  // one sentence each
};

// Gives the packed weights of a checkpoint that was opened from files their type and the matrix's
// shape, as the config's packed_formats say. Of a config without them nothing is changed.
Status name_packed_types(const ModelConfig& config, Checkpoint& checkpoint);

// The first fault found is the error; it names the tensor, the file, what was expected and what is
// there.
Result<CheckedTensors> check_tensors(const ModelConfig& config, const Checkpoint& checkpoint,
                                     const LoadOptions& options);

// "<name>_scale_inv"
std::string scale_name(const std::string& weight_name);

}  // namespace fathom
