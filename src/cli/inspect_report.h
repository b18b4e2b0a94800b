// What `fathom inspect` says, as text for people and as the JSON document of the command line's
// contract.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/json.h"
#include "io/safetensors.h"
#include "model/config.h"
#include "model/parameters.h"

namespace fathom::cli {

struct InspectedTensor {
  TensorSpec spec;
  std::string file;  // empty: predicted from a config
};

struct Inspection {
  std::string source;  // "the folder models/v3", "config.json"
  ModelConfig config;
  ParameterCount parameters;
  std::vector<InspectedTensor> tensors;  // of the files, or as the config predicts them
  bool from_files = false;
  std::string verified;      // what --verify found right, in one sentence; empty: not asked
  int64_t memory_bytes = 0;  // to fit into
  bool memory_is_this_machines = true;
};

// Ends with a newline; at most 120 columns wide unless names are longer.
std::string inspection_text(const Inspection& inspection, bool with_tensors);
Json inspection_json(const Inspection& inspection);

// "671,026,419,200".
std::string grouped(int64_t n);
// "688.6 GB": powers of 1000, one decimal from KB on.
std::string human_bytes(int64_t bytes);
// Physical memory, or the control group's limit if that is less.
int64_t machine_memory_bytes();

}  // namespace fathom::cli
