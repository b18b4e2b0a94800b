// Random weights of any config, made in memory in the form that published files have: BF16, and FP8
// with block scales or packed where the config has a quantization_config, router biases and scales
// in F32.
// For measuring and testing: what runs over them costs what the real model costs, activations stay
// finite and tokens spread over the experts. The MTP modules' copies of embedding and head are left
// out.
//
// Every byte is a function of seed, tensor name and position alone: the same weights on every
// machine, whatever the number of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/checkpoint.h"
#include "io/safetensors.h"
#include "model/config.h"
#include "parallel/pool.h"

namespace fathom {

struct RandomOptions {
  uint64_t seed = 1;
  // Called now and then with the bytes made so far.
  std::function<void(int64_t)> progress = nullptr;
};
// name is for messages: "random weights of v3.json". Takes as much memory as the tensors have
// bytes: the caller has checked that there is so much.
Result<Checkpoint> random_checkpoint(const ModelConfig& config, const std::string& name,
                                     const RandomOptions& options, Pool& pool);

}  // namespace fathom
