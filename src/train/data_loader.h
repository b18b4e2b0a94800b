// Sequences of fixed length for training, from one or several folders of shards (train/shards.h).
// Documents stand packed, one after another, without masks between them, as in the report's
// pre-training (§4.2). Sequence `index` is a function of the sources, their weights, the seed and
// index alone, so that a run that goes on from a checkpoint continues to the token.
//
// Mixture: of every 1,024 indices each source has its share, in an order drawn from the seed. A
// source's sequences pass in a random order, and again in another when all have passed.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "train/shards.h"

namespace fathom {

struct DataSource {
  std::string path;   // a folder of shards
  double weight = 1;  // > 0; shares are in proportion
};

// Which tokens a folder of shards holds to train on: the same digest, the same tokens.
struct SourceIdentity {
  std::string folder;
  uint64_t digest = 0;
};

struct DataLoaderOptions {
  int64_t sequence_length = 0;
  uint64_t seed = 1;
  Split split = Split::kTrain;
};

class DataLoader {
 public:
  // Errors: shards that cannot be read or differ in vocabulary or tokenizer, a source shorter than
  // one sequence, nothing held out for kValidation.
  static Result<DataLoader> open(const std::vector<DataSource>& sources,
                                 const DataLoaderOptions& options);

  // tokens [sequence_length + 1]; mask [sequence_length]: 1 where the next token counts as a
  // target. index >= 0. Of kValidation every sequence comes once in the first n_sequences(), all
  // sources mixed by their sizes.
  Status sequence(int64_t index, std::span<int32_t> tokens, std::span<uint8_t> mask) const;

  int64_t vocab_size() const { return sources_.front().shards.index().vocab_size; }
  uint64_t tokenizer_digest() const { return sources_.front().shards.index().tokenizer_digest; }
  std::vector<SourceIdentity> identities() const;  // of all sources, in their order
  int64_t n_tokens() const;                        // of all sources
  int64_t n_sequences() const;                     // of all sources, each once

 private:
  struct Source {
    Shards shards;
    int64_t n_sequences = 0;
    int64_t first_slot = 0, n_slots = 0;  // of the 1,024
  };
  Status read(const Source& source, int64_t sequence, std::span<int32_t> tokens,
              std::span<uint8_t> mask) const;

  DataLoaderOptions options_;
  std::vector<Source> sources_;
};

}  // namespace fathom
