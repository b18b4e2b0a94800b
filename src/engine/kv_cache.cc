#include "engine/kv_cache.h"

#include <sys/mman.h>

#include "base/math.h"

namespace fathom {

void KvPool::Unmap::operator()(std::byte* p) const { munmap(p, static_cast<size_t>(bytes)); }

Result<KvPool> KvPool::create(const KvLayout& layout, int64_t n_layers, int64_t budget_bytes) {
  KvPool pool;
  pool.n_layers_ = n_layers;
  pool.block_bytes_ = layout.block_bytes();
  const int64_t per_block = bytes_per_block(layout, n_layers);
  pool.n_blocks_ = budget_bytes / per_block;
  if (pool.n_blocks_ < 1) {
    return exhausted_error("the memory for the KV cache, ", budget_bytes,
                           " bytes, is less than one block of ", kKvBlockRows, " positions needs (",
                           per_block, " bytes); give more with --max-memory");
  }
  const int64_t bytes = pool.n_blocks_ * per_block;
  void* memory = mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    return io_error(str_cat("cannot reserve ", bytes, " bytes for the KV cache"));
  pool.memory_ = std::unique_ptr<std::byte, Unmap>(static_cast<std::byte*>(memory), Unmap{bytes});
  pool.free_.reserve(static_cast<size_t>(pool.n_blocks_));
  pool.holders_.assign(static_cast<size_t>(pool.n_blocks_), 0);
  for (int64_t block = pool.n_blocks_ - 1; block >= 0; --block) pool.free_.push_back(block);
  return pool;
}

int64_t KvPool::take() {
  if (free_.empty()) return -1;
  const int64_t block = free_.back();
  free_.pop_back();
  holders_[static_cast<size_t>(block)] = 1;
  return block;
}

void KvPool::hold(int64_t block) {
  FATHOM_DCHECK(n_holders(block) > 0, "block ", block, " is free");
  ++holders_[static_cast<size_t>(block)];
}

void KvPool::give_back(int64_t block) {
  FATHOM_DCHECK(n_holders(block) > 0, "block ", block, " given back twice");
  if (--holders_[static_cast<size_t>(block)] == 0) free_.push_back(block);
}

KvSequence::KvSequence(KvPool& pool, int64_t max_positions)
    : pool_(pool), max_blocks_(ceil_div(max_positions, kKvBlockRows)) {
  held_.reserve(static_cast<size_t>(max_blocks_));
  table_.assign(static_cast<size_t>(max_blocks_ * pool.n_layers()), nullptr);
}

bool KvSequence::reserve(int64_t n_positions) {
  const int64_t wanted = ceil_div(n_positions, kKvBlockRows);
  FATHOM_CHECK(wanted <= max_blocks_, "positions ", n_positions);
  const int64_t missing = wanted - static_cast<int64_t>(held_.size());
  if (missing > pool_.n_free()) return false;
  for (int64_t i = 0; i < missing; ++i) {
    held_.push_back(pool_.take());
    set(n_blocks() - 1, held_.back());
  }
  return true;
}

void KvSequence::set(int64_t index, int64_t block) {
  for (int64_t layer = 0; layer < pool_.n_layers(); ++layer)
    table_[static_cast<size_t>(layer * max_blocks_ + index)] = pool_.data(block, layer);
}

void KvSequence::adopt(int64_t block) {
  FATHOM_CHECK(n_blocks() < max_blocks_, "block ", block);
  pool_.hold(block);
  held_.push_back(block);
  set(n_blocks() - 1, block);
}

void KvSequence::replace(int64_t index, int64_t block) {
  int64_t& mine = held_[static_cast<size_t>(index)];
  pool_.hold(block);
  pool_.give_back(mine);
  mine = block;
  set(index, block);
}

void KvSequence::release(int64_t n_positions) {
  const int64_t keep = ceil_div(n_positions, kKvBlockRows);
  while (static_cast<int64_t>(held_.size()) > keep) {
    pool_.give_back(held_.back());
    held_.pop_back();
  }
}

}  // namespace fathom
