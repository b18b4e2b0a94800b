// Owned memory for tensors: aligned to 64 bytes (a cache line, an AVX-512 register), never
// initialised element by element, movable, not copyable. Zero-filled; large buffers by the system,
// a page when it is first touched, so that making one costs nothing (the workspace of V3's shapes
// would take a third of a second of every start).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/check.h"

namespace fathom {

inline constexpr int64_t kBufferAlignment = 64;
// From this size on a buffer is made of pages, huge ones where the system has them (reading 4 GB of
// weights in rows of 7 KB on two threads: 20 GB/s with pages of 4 KB, 24 GB/s with pages of 2 MB).
inline constexpr int64_t kPagedBufferBytes = int64_t{4} << 20;

// Zeros, aligned to kBufferAlignment; bytes > 0. mapped: so many bytes of pages, 0 where it is not
// made of pages; for delete_zeros. Memory that is not there is no bug of ours: std::bad_alloc, as
// of every container, which main.cc turns into a sentence.
std::byte* new_zeros(int64_t bytes, int64_t* mapped);
void delete_zeros(std::byte* p, int64_t mapped);

template <typename T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t size) : size_(size) {
    FATHOM_CHECK(size >= 0, "size ", size);
    if (size == 0) return;
    Free free;
    std::byte* const zeros = new_zeros(bytes(), &free.mapped);
    data_ = {reinterpret_cast<T*>(zeros), free};
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
  struct Free {
    int64_t mapped = 0;
    void operator()(T* p) const { delete_zeros(reinterpret_cast<std::byte*>(p), mapped); }
  };
  std::unique_ptr<T, Free> data_;
  int64_t size_ = 0;
};

}  // namespace fathom
