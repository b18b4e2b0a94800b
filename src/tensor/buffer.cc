#include "tensor/buffer.h"

#include <cstring>
#include <new>

#include "base/math.h"
#include "tensor/page_memory.h"

namespace fathom {

namespace {
constexpr std::align_val_t kAligned{static_cast<size_t>(kBufferAlignment)};

// The address sanitizer watches over what comes from the heap alone.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kPaged = false;
#else
constexpr bool kPaged = true;
#endif
}  // namespace

std::byte* new_zeros(int64_t bytes, int64_t* mapped) {
  *mapped = 0;
  if (kPaged && bytes >= kPagedBufferBytes) {
    if (std::byte* const pages = map_pages(bytes, PageReserve::kNow)) {
      *mapped = bytes;
      return pages;
    }
  }
  const auto size = static_cast<size_t>(round_up(bytes, kBufferAlignment));
  void* const memory = ::operator new(size, kAligned);
  std::memset(memory, 0, size);
  return static_cast<std::byte*>(memory);
}

void delete_zeros(std::byte* p, int64_t mapped) {
  if (mapped > 0) {
    unmap_pages(p, mapped);
  } else {
    ::operator delete(p, kAligned);
  }
}

}  // namespace fathom
