// Any bytes are a file whose tensors lie inside it, or an error.
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "io/safetensors.h"
#include "tensor/buffer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Aligned as a mapped file is.
  fathom::Buffer<uint8_t> copy(static_cast<int64_t>(size));
  if (size > 0) std::memcpy(copy.data(), data, size);
  const auto bytes = std::as_bytes(std::span<const uint8_t>(copy.span()));
  const auto file = fathom::parse_safetensors(bytes, "input");
  if (!file.ok()) {
    FATHOM_CHECK(!file.error().message.empty(), "an error without a message");
    return 0;
  }
  uint64_t sum = 0;
  for (const fathom::NamedTensor& named : file->tensors) {
    const auto* begin = named.tensor.as<uint8_t>();
    for (int64_t i = 0; i < named.tensor.bytes(); ++i) sum += begin[i];  // the sanitizer watches
  }
  volatile uint64_t kept = sum;
  (void)kept;
  return 0;
}
