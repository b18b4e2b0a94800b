// The routed experts of a model that is larger than memory: a fixed number of slots, one expert
// each (docs/memory.md). What a layer asks for and is not there is read while those that are there
// compute. Each layer has its part of the slots; within it room is made by taking the slot of
// the expert that was used least, uses counting less the longer ago they were.
//
// One thread calls it, that of the pass; reading goes on beside it (io/block_reader.h).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/weight_places.h"
#include "io/block_reader.h"
#include "model/expert_source.h"
#include "tensor/page_memory.h"

namespace fathom {

struct ExpertCacheStats {
  int64_t n_used = 0;   // experts asked for, layer by layer
  int64_t n_found = 0;  // of them in memory
  int64_t bytes_read = 0;
  double read_seconds = 0;  // during which something was being read
  double wait_seconds = 0;  // that passes waited for it
};

// How the experts of a model are laid out in slots.
struct ExpertLayout {
  std::vector<const MoeWeights*> layers;  // null: none are routed there
  std::vector<MatrixGroup> places;        // [layers with experts, n_routed_experts]
  int64_t n_experts = 0;                  // of a layer
  int64_t slot_bytes = 0;                 // of the largest
  int64_t n_all() const { return static_cast<int64_t>(places.size()); }

  // Empty if there are no routed experts or one of them lies in no file.
  static ExpertLayout of(const ModelWeights& weights, const WeightPlaces& places);
};

class ExpertCache final : public ExpertSource {
 public:
  // reader holds the files that the places were made of, in their order. n_slots >= 1.
  static Result<std::unique_ptr<ExpertCache>> create(ExpertLayout layout, int64_t n_slots,
                                                     std::unique_ptr<BlockReader> reader);
  ~ExpertCache() override;

  // Where rows of the embedding come from, before the first pass: its file, or memory where it lies
  // in none. Not the mapping, since a row that is touched may bring 2 MiB of neighbours with it.
  Status set_embedding(const LinearWeight& embedding, const WeightPlaces& places);

  void begin_pass() override;
  LinearWeight embedding_row(int32_t token) override;
  void request(int64_t layer, std::span<const int32_t> experts) override;
  std::span<const ReadyExpert> next_group() override;
  const Status& status() const override { return status_; }

  int64_t n_slots() const { return static_cast<int64_t>(slots_.size()); }
  int64_t n_experts() const { return layout_.n_all(); }
  ExpertCacheStats stats() const;

 private:
  struct Expert {
    int32_t slot = -1;
    float uses = 0;        // as of last_use, those before it counting less
    int64_t last_use = 0;  // in requests of its layer
  };
  struct Clock {
    int64_t n_requests = 0;
    float uses = 0;      // of an expert that was asked for every time
    int64_t n_held = 0;  // slots that hold its experts
  };
  struct Slot {
    int64_t expert = -1;  // into experts_; -1: free
    int64_t layer = 0;    // of the expert
    int32_t n_reading = 0;
    bool wanted = false;  // asked for and not computed yet: stays
    bool fresh = false;   // read for the request at hand
    bool failed = false;
    MlpWeights weights;
  };
  // What the slot's expert is worth keeping: larger stays.
  struct Worth {
    bool spared;       // others go first
    float share;       // of its layer's requests that asked for it, the last ones counting most
    int64_t distance;  // layers until its own comes again
    bool operator<(const Worth& other) const {
      if (spared != other.spared) return other.spared;
      return share != other.share ? share < other.share : distance > other.distance;
    }
  };

  ExpertCache(ExpertLayout layout, PageMemory memory, std::unique_ptr<BlockReader> reader,
              int64_t n_slots);
  void release_group();
  void start_reads();
  int64_t find_slot() const;
  void read(int64_t expert, int64_t slot);
  void take_done(bool wait);
  void use(int64_t expert);
  void empty(Slot& slot);
  Worth worth(const Slot& slot) const;

  ExpertLayout layout_;
  std::vector<int64_t> row_of_layer_;  // of experts_; -1 without experts
  std::vector<Clock> clocks_;          // of each layer
  int64_t part_;                       // of the slots that is a layer's
  int64_t n_ahead_;                    // experts that are read ahead of computing
  std::vector<Expert> experts_;
  std::vector<Slot> slots_;

  // Of the request at hand.
  int64_t layer_ = 0;
  std::vector<int64_t> missing_;  // experts that no slot is read for yet
  std::vector<int64_t> present_;  // slots to be given, in memory or being read
  std::vector<int64_t> given_;    // slots of the group that the caller computes with
  std::vector<ReadyExpert> group_;
  std::vector<BlockReader::Done> done_;
  Status status_;
  ExpertCacheStats stats_;

  LinearWeight embedding_;
  FileDescriptor embedding_file_;
  std::string embedding_path_;
  int64_t embedding_offset_ = 0;
  std::vector<std::byte> row_;  // of the embedding in its file; empty: it is in memory

  PageMemory memory_;
  std::unique_ptr<BlockReader> reader_;  // goes first: it writes into memory_
};

}  // namespace fathom
