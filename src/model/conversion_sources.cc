#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/math.h"
#include "model/conversion.h"

namespace fathom {

TensorSource copy_of(const void* data, int64_t size) {
  return [data, size](TensorSink& sink) -> Status {
    const std::span<const std::byte> bytes(static_cast<const std::byte*>(data),
                                           static_cast<size_t>(size));
    const auto piece = static_cast<int64_t>(sink.scratch().size());
    for (int64_t begin = 0; begin < size; begin += piece) {
      const int64_t end = std::min(begin + piece, size);
      FATHOM_RETURN_IF_ERROR(
          sink.write(bytes.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin))));
      release_pages(data, end);
    }
    return {};
  };
}

TensorSource rows_side_by_side(std::vector<RowPart> parts, int64_t n_rows) {
  return [parts = std::move(parts), n_rows](TensorSink& sink) -> Status {
    int64_t row_bytes = 0;
    for (const RowPart& part : parts) row_bytes += part.bytes;
    if (row_bytes == 0) return {};
    const int64_t rows_max = static_cast<int64_t>(sink.scratch().size()) / row_bytes;
    FATHOM_CHECK(rows_max > 0, "a row has ", row_bytes, " bytes");
    for (int64_t begin = 0; begin < n_rows; begin += rows_max) {
      const int64_t end = std::min(begin + rows_max, n_rows);
      std::byte* out = sink.scratch().data();
      for (int64_t r = begin; r < end; ++r) {
        for (const RowPart& part : parts) {
          std::memcpy(out, part.data + r * part.stride, static_cast<size_t>(part.bytes));
          out += part.bytes;
        }
      }
      FATHOM_RETURN_IF_ERROR(
          sink.write(sink.scratch().first(static_cast<size_t>((end - begin) * row_bytes))));
      for (const RowPart& part : parts) release_pages(part.data, end * part.stride);
    }
    return {};
  };
}

TensorSource one_after_another(std::vector<TensorSource> sources) {
  return [sources = std::move(sources)](TensorSink& sink) -> Status {
    for (const TensorSource& source : sources) FATHOM_RETURN_IF_ERROR(source(sink));
    return {};
  };
}

void release_pages(const void* data, int64_t size) {
  static const int64_t page = ::sysconf(_SC_PAGESIZE);
  const auto begin = static_cast<int64_t>(reinterpret_cast<uintptr_t>(data));
  const int64_t first = round_up(begin, page);
  const int64_t last = (begin + size) / page * page;
  if (last > first)
    ::madvise(reinterpret_cast<void*>(first), static_cast<size_t>(last - first), MADV_DONTNEED);
}

}  // namespace fathom
