// Owned memory for tensors: aligned to 64 bytes (a cache line, an AVX-512 register), never
// initialised element by element, movable, not copyable. Zero-filled.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <span>

#include "base/check.h"
#include "base/math.h"

namespace fathom {

inline constexpr int64_t kBufferAlignment = 64;
// From this size on a buffer asks for huge pages (reading 4 GB of weights in rows of 7 KB on two
// threads: 20 GB/s with pages of 4 KB, 24 GB/s with pages of 2 MB).
inline constexpr int64_t kHugeBufferBytes = int64_t{4} << 20;
// Asks the system to back this memory, not yet touched, with huge pages; it may not.
void advise_huge_pages(void* data, int64_t bytes);

template <typename T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t size) : size_(size) {
    FATHOM_CHECK(size >= 0, "size ", size);
    if (size == 0) return;
    const int64_t bytes = round_up(size * static_cast<int64_t>(sizeof(T)), kBufferAlignment);
    // Memory that is not there is no bug of ours: std::bad_alloc, as of every container, which
    // main.cc turns into a sentence.
    data_.reset(static_cast<T*>(::operator new(static_cast<size_t>(bytes), kAligned)));
    if (bytes >= kHugeBufferBytes) advise_huge_pages(data_.get(), bytes);
    std::memset(static_cast<void*>(data_.get()), 0, static_cast<size_t>(bytes));
  }

  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  int64_t size() const { return size_; }
  int64_t bytes() const { return size_ * static_cast<int64_t>(sizeof(T)); }
  T& operator[](int64_t i) {
    FATHOM_DCHECK(i >= 0 && i < size_, "index ", i, " of ", size_);
    return data_.get()[i];
  }
  const T& operator[](int64_t i) const {
    FATHOM_DCHECK(i >= 0 && i < size_, "index ", i, " of ", size_);
    return data_.get()[i];
  }
  std::span<T> span() { return {data_.get(), static_cast<size_t>(size_)}; }
  std::span<const T> span() const { return {data_.get(), static_cast<size_t>(size_)}; }

 private:
  static constexpr std::align_val_t kAligned{static_cast<size_t>(kBufferAlignment)};
  struct Free {
    void operator()(T* p) const { ::operator delete(p, kAligned); }
  };
  std::unique_ptr<T, Free> data_;
  int64_t size_ = 0;
};

}  // namespace fathom
