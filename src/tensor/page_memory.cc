#include "tensor/page_memory.h"

#include <sys/mman.h>

namespace fathom {

void PageMemory::Unmap::operator()(std::byte* p) const { ::munmap(p, static_cast<size_t>(bytes)); }

Result<PageMemory> PageMemory::create(int64_t bytes) {
  PageMemory out;
  if (bytes == 0) return out;
  void* data = ::mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) return io_error(str_cat("cannot get ", bytes, " bytes of memory"));
#ifdef MADV_HUGEPAGE
  (void)::madvise(data, static_cast<size_t>(bytes), MADV_HUGEPAGE);  // a wish
#endif
  out.memory_ = std::unique_ptr<std::byte, Unmap>(static_cast<std::byte*>(data), Unmap{bytes});
  return out;
}

}  // namespace fathom
