// Everything that a resumed run needs beside the model's weights as published, in one file of a
// checkpoint: trainer_state.safetensors holds the F32 masters (master.NAME), both moments
// (moment1.NAME, moment2.NAME: BF16 or F32), the router biases (router_bias.LAYER), and in its
// metadata where the run stands, what it is made of, and a checksum of it all. A run that goes on
// from it gives the bytes of one that never stopped.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "train/data_loader.h"
#include "train/optimizer.h"
#include "train/spikes.h"
#include "train/trainee.h"

namespace fathom {

inline constexpr std::string_view kStateName = "trainer_state.safetensors";

// What a run is made of beside its configuration: a checkpoint of other inputs is not continued.
struct RunInputs {
  uint64_t model = 0;                   // XXH64 of config.json as its checkpoints hold it
  std::vector<SourceIdentity> sources;  // of all stages, in their order
};

struct RunState {
  int64_t step = 0;             // done
  int64_t tokens = 0;           // predicted in them
  int64_t stage = 0;            // of the curriculum
  int64_t stage_sequences = 0;  // taken from its data: the loader goes on there
  int64_t n_skipped = 0;        // steps up to this one that updated nothing, without one between
  uint64_t digest = 0;          // RunConfig::digest
  RunInputs inputs;
  std::string isa;  // that the last step was computed with; empty: not known
  SpikeState spikes;
};

// Error: masters or biases that are not finite, from which no run could go on.
Status save_run_state(const std::string& folder, const RunState& state, Trainee& model,
                      Optimizer& optimizer);

struct StateToLoad {
  std::string folder;      // the checkpoint's
  std::string if_damaged;  // what to do then: the end of such a message
  uint64_t digest = 0;     // these two as the run has them: others are errors
  RunInputs inputs;
};
// Errors: no such file, damage, another digest, other inputs, tensors that are not this model's.
// States of before there were inputs and checksums are taken without them. The model's weights have
// changed afterwards: the caller says so to it.
Result<RunState> load_run_state(const StateToLoad& from, Trainee& model, Optimizer& optimizer);

}  // namespace fathom
