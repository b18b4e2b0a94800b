#include "tensor/page_memory.h"

#include <sys/mman.h>

namespace fathom {

std::byte* map_pages(int64_t bytes, PageReserve reserve) {
  const int flags =
      MAP_PRIVATE | MAP_ANONYMOUS | (reserve == PageReserve::kNow ? 0 : MAP_NORESERVE);
  void* data = ::mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE, flags, -1, 0);
  if (data == MAP_FAILED) return nullptr;
#ifdef MADV_HUGEPAGE
  (void)::madvise(data, static_cast<size_t>(bytes), MADV_HUGEPAGE);  // a wish
#endif
  return static_cast<std::byte*>(data);
}

void unmap_pages(std::byte* p, int64_t bytes) { ::munmap(p, static_cast<size_t>(bytes)); }

void PageMemory::Unmap::operator()(std::byte* p) const { unmap_pages(p, bytes); }

Result<PageMemory> PageMemory::create(int64_t bytes) {
  PageMemory out;
  if (bytes == 0) return out;
  std::byte* const pages = map_pages(bytes, PageReserve::kNever);
  if (pages == nullptr) {
    return exhausted_error("the system refuses ", bytes,
                           " bytes of memory; give a smaller --max-memory, or raise the limit that "
                           "this process was started with (ulimit -d, ulimit -v)");
  }
  out.memory_ = std::unique_ptr<std::byte, Unmap>(pages, Unmap{bytes});
  return out;
}

}  // namespace fathom
