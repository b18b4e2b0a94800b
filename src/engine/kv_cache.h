// The memory of past positions. A pool of blocks with a budget in bytes; each sequence takes blocks
// of 64 positions, for all layers at once, as it grows, and gives them back when it ends. A block
// whose rows are complete may have several holders (engine/prefix_cache.h); nobody writes into it
// any more. Rows are latents, not keys and values (kernels/attention.h). Pages are touched on first
// use only, so that a large budget costs nothing until it is needed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "model/batch.h"
#include "model/transformer.h"

namespace fathom {

class KvPool {
 public:
  // Room for at least one block. Fails if the address space cannot be had.
  static Result<KvPool> create(const KvLayout& layout, int64_t n_layers, int64_t budget_bytes);
  KvPool(KvPool&&) noexcept = default;
  KvPool& operator=(KvPool&&) noexcept = default;

  int64_t n_blocks() const { return n_blocks_; }
  int64_t n_free() const { return static_cast<int64_t>(free_.size()); }
  int64_t n_layers() const { return n_layers_; }
  // Of one block of 64 positions, all layers.
  static int64_t bytes_per_block(const KvLayout& layout, int64_t n_layers) {
    return layout.block_bytes() * n_layers;
  }

  // A block's number, or -1 if none is free. Who takes it is its one holder.
  int64_t take();
  // One holder more, and one less: without any it is free.
  void hold(int64_t block);
  void give_back(int64_t block);
  int32_t n_holders(int64_t block) const { return holders_[static_cast<size_t>(block)]; }
  std::byte* data(int64_t block, int64_t layer) const {
    return memory_.get() + (block * n_layers_ + layer) * block_bytes_;
  }

 private:
  struct Unmap {
    int64_t bytes;
    void operator()(std::byte* p) const;
  };
  KvPool() = default;
  std::unique_ptr<std::byte, Unmap> memory_{nullptr, Unmap{0}};
  std::vector<int64_t> free_;
  std::vector<int32_t> holders_;  // [n_blocks]
  int64_t n_blocks_ = 0;
  int64_t n_layers_ = 0;
  int64_t block_bytes_ = 0;  // of one layer
};

// The cache of one sequence. Gives its blocks back when it is destroyed; the pool must outlive it.
class KvSequence final : public KvCacheView {
 public:
  // max_positions bounds reserve(); the tables for it are allocated here.
  KvSequence(KvPool& pool, int64_t max_positions);
  ~KvSequence() override { release(0); }
  KvSequence(const KvSequence&) = delete;
  KvSequence& operator=(const KvSequence&) = delete;

  // Blocks for positions [0, n_positions). False, and nothing taken, if the pool has too few.
  bool reserve(int64_t n_positions);
  // Gives back the blocks wholly at or after n_positions.
  void release(int64_t n_positions);
  int64_t n_blocks() const { return static_cast<int64_t>(held_.size()); }
  int64_t block(int64_t index) const { return held_[static_cast<size_t>(index)]; }
  // Appends a complete block that others hold too.
  void adopt(int64_t block);
  // Holds block instead of its own at index, of the same rows.
  void replace(int64_t index, int64_t block);
  std::byte* const* blocks(int64_t layer) override {
    return &table_[static_cast<size_t>(layer * max_blocks_)];
  }

 private:
  void set(int64_t index, int64_t block);

  KvPool& pool_;
  int64_t max_blocks_;
  std::vector<int64_t> held_;
  std::vector<std::byte*> table_;  // [n_layers, max_blocks]
};

}  // namespace fathom
