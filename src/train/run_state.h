// Everything that a resumed run needs beside the model's weights as published, in one file of a
// checkpoint: trainer_state.safetensors holds the F32 masters (master.NAME), both moments
// (moment1.NAME, moment2.NAME: BF16 or F32), the router biases (router_bias.LAYER), and in its
// metadata where the run stands. A run that goes on from it gives the bytes of one that never
// stopped.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "train/optimizer.h"
#include "train/spikes.h"
#include "train/trainee.h"

namespace fathom {

inline constexpr std::string_view kStateName = "trainer_state.safetensors";

struct RunState {
  int64_t step = 0;             // done
  int64_t tokens = 0;           // predicted in them
  int64_t stage = 0;            // of the curriculum
  int64_t stage_sequences = 0;  // taken from its data: the loader goes on there
  uint64_t digest = 0;          // RunConfig::digest
  SpikeState spikes;
};

Status save_run_state(const std::string& folder, const RunState& state, Trainee& model,
                      Optimizer& optimizer);
// Errors: no such file, another digest, tensors that are not this model's. The model's weights have
// changed afterwards: the caller says so to it.
Result<RunState> load_run_state(const std::string& folder, uint64_t digest, Trainee& model,
                                Optimizer& optimizer);

}  // namespace fathom
