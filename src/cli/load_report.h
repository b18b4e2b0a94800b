// What `fathom load` says, as text for people and as a JSON document. With several servers the
// ratio of each later one to the first stands under its figures.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/json.h"
#include "load/load_log.h"
#include "load/measurement.h"

namespace fathom::cli {

struct LoadedServer {
  std::string url, model;
  LoadSummary summary;
  bool is_checked = false;  // answers to equal prompts were compared
  int64_t n_compared = 0, n_mismatched = 0;
  std::string mismatch;
};

// At most 110 columns, messages of servers aside. Ends with a newline.
std::string load_text(const LoadSetup& setup, const std::vector<LoadedServer>& servers);
Json load_json(const LoadSetup& setup, const std::vector<LoadedServer>& servers);

}  // namespace fathom::cli
