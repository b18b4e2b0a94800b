// Large memory straight from the system: zero pages that cost nothing until they are touched, huge
// ones where the system has them, and given back whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/result.h"

namespace fathom {

// Zero pages for bytes > 0, null where the system has none. kNow: it may refuse what it could not
// give when all of it is touched; kNever: it does not ask.
enum class PageReserve { kNow, kNever };
std::byte* map_pages(int64_t bytes, PageReserve reserve);
void unmap_pages(std::byte* p, int64_t bytes);

class PageMemory {
 public:
  // Starts at a page. bytes >= 0; 0 is no memory.
  static Result<PageMemory> create(int64_t bytes);
  PageMemory() = default;

  std::byte* data() const { return memory_.get(); }
  int64_t bytes() const { return memory_.get_deleter().bytes; }

 private:
  struct Unmap {
    int64_t bytes = 0;
    void operator()(std::byte* p) const;
  };
  std::unique_ptr<std::byte, Unmap> memory_{nullptr, Unmap{}};
};

}  // namespace fathom
