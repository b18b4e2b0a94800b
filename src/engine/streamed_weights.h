// A model that is larger than the memory it may take (docs/memory.md): what every token needs is
// read into memory once and stays, routed experts are read when they are needed into slots.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "engine/expert_cache.h"
#include "model/config.h"
#include "model/weights.h"
#include "tensor/page_memory.h"

namespace fathom {

// What streaming a model takes.
struct StreamNeeds {
  bool possible = false;  // routed experts that lie in files
  int64_t dense_bytes =
      0;                   // all but routed experts and, of which rows are looked up, the embedding
  int64_t slot_bytes = 0;  // of one expert
  int64_t n_experts = 0;   // of all layers
  int64_t min_slots = 0;   // those of one token
  int64_t bytes_per_token = 0;  // if no expert that it needs is in memory
};
StreamNeeds stream_needs(const ModelConfig& config, ModelWeights& weights);

// What is kept free: stacks, page tables, what a request holds.
int64_t memory_margin(int64_t limit);
// The --max-memory to name where so many bytes beside the margin are the least that would do.
int64_t least_limit(int64_t bytes);

// What weights take beyond used_memory_bytes(), once they are all in use. Makes it true: pages of
// files are let go of, weights within the program are read, since checks touched some of them.
int64_t weights_beyond_used(const Checkpoint& checkpoint);

// "12.3 MB": to a tenth, in the largest unit of which there is one.
std::string readable_bytes(int64_t bytes);

struct StreamBudget {
  int64_t limit = 0;                    // of the whole process
  int64_t untouched = 0;                // what it has mapped and not touched: scratch, caches
  int64_t later = 0;                    // what it will take beyond that and the weights
  std::optional<int64_t> n_slots = {};  // instead of what fits
  std::string_view less = "a smaller --context";  // how it takes less, for people
};

class StreamedWeights {
 public:
  // Reads the dense part and points weights at it; from then on weights may be used with experts()
  // only. Fails if limit has no room for it and the experts of one token: says the least that would
  // do.
  static Result<std::unique_ptr<StreamedWeights>> create(const ModelConfig& config,
                                                         ModelWeights& weights,
                                                         const StreamBudget& budget);

  ExpertCache& experts() { return *experts_; }
  // What stays, how many experts fit, and what a token reads at worst: one line.
  const std::string& plan() const { return plan_; }
  // How it went: one line.
  std::string report() const;

 private:
  StreamedWeights() = default;
  Status read_dense(ModelWeights& weights, const WeightPlaces& places, BlockReader& reader);

  PageMemory dense_;
  std::unique_ptr<ExpertCache> experts_;
  std::string plan_;
};

}  // namespace fathom
