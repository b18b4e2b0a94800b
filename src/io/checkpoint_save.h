// Writes a checkpoint as a folder in the published form: config.json,
// model-0000X-of-0000N.safetensors, and the index that names them. Other programs of the family
// read it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "io/checkpoint.h"

namespace fathom {

struct SaveOptions {
  bool force = false;  // replace files that are there; else one is an error
  int64_t shard_bytes_max =
      5'000'000'000;  // of the data of a file, unless one tensor alone is larger
  // Called now and then with the bytes written so far.
  std::function<void(int64_t)> progress = nullptr;
};
// Makes the folder if it is not there. config.json comes last: a folder without it is not complete.
Status save_checkpoint(const Checkpoint& checkpoint, const std::string& config_json,
                       const std::string& folder, const SaveOptions& options);

}  // namespace fathom
