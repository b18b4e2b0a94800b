// Byte-pair encoding of one pre-token: of all adjacent pairs the one of lowest rank is merged, the
// leftmost of equal ones, until none is left. O(n log n) in the length of the pre-token, whatever
// it holds.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/vocabulary.h"

namespace fathom {

class Bpe {
 public:
  struct Merge {
    int32_t left;
    int32_t right;
    int32_t merged;
  };
  static constexpr int64_t kMergesMax = int64_t{1} << 22;

  // Memory that encode reuses from call to call; one per thread.
  struct Scratch;

  Bpe() = default;
  // merges[i] has rank i. All ids are pieces of the vocabulary, merged being left's bytes and
  // right's. Errors: the same pair twice, too many merges.
  static Result<Bpe> create(const Vocabulary& vocabulary, const std::vector<Merge>& merges);

  // All of them by rank, as create() took them.
  std::vector<Merge> merges() const;

  // Appends the ids of the piece. Thread-safe with one scratch per thread.
  void encode(std::string_view piece, Scratch& scratch, std::vector<int32_t>& ids) const;

 private:
  static constexpr uint32_t kNoRank = ~uint32_t{0};
  struct Slot {
    uint64_t pair = ~uint64_t{0};  // left << 32 | right; all ones is free
    uint32_t rank = kNoRank;
    int32_t merged = -1;
  };
  struct Symbol;
  struct Candidate;

  static uint64_t pair_of(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  size_t slot_of(uint64_t pair) const {
    // Fibonacci hashing: the product's high bits depend on all of the pair.
    return static_cast<size_t>((pair * 0x9e3779b97f4a7c15u) >> shift_);
  }
  const Slot& find(int32_t left, int32_t right) const;
  void encode_short(std::string_view piece, std::vector<int32_t>& ids) const;
  void encode_long(std::string_view piece, Scratch& scratch, std::vector<int32_t>& ids) const;

  std::vector<Slot> slots_;
  int shift_ = 63;
  std::array<int32_t, 256> byte_ids_{};
};

struct Bpe::Symbol {
  int32_t id;
  uint32_t rank;  // of the pair that begins here; kNoRank if there is none
  int64_t previous;
  int64_t next;
};
struct Bpe::Candidate {
  uint32_t rank;
  int64_t position;
};
struct Bpe::Scratch {
  std::vector<Symbol> symbols;
  std::vector<Candidate> heap;
};

}  // namespace fathom
