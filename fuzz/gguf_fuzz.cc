// Any bytes are a file whose values and tensors lie inside it, or an error; and what is made of it,
// config, tokenizer and checkpoint, is there or an error.
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "io/gguf_parts.h"
#include "model/gguf_checkpoint.h"
#include "model/gguf_config.h"
#include "tensor/buffer.h"
#include "tokenizer/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Aligned as a mapped file is.
  fathom::Buffer<uint8_t> copy(static_cast<int64_t>(size));
  if (size > 0) std::memcpy(copy.data(), data, size);
  const auto bytes = std::as_bytes(std::span<const uint8_t>(copy.span()));
  const auto file = fathom::parse_gguf(bytes, "input");
  if (!file.ok()) {
    FATHOM_CHECK(!file.error().message.empty(), "an error without a message");
    return 0;
  }
  uint64_t sum = 0;
  for (const fathom::NamedTensor& named : file->tensors) {
    const auto* begin = named.tensor.as<uint8_t>();
    for (int64_t i = 0; i < named.tensor.bytes(); ++i) sum += begin[i];  // the sanitizer watches
  }
  for (const auto& [key, value] : file->metadata) {
    for (int64_t i = 0; i < value.size(); ++i) {
      sum += static_cast<uint64_t>(value.integer(i).value_or(0));
      sum += value.number(i) && value.boolean(i) ? 1 : 0;
      sum += value.string(i) ? value.string(i)->size() : 0;
    }
    sum += key.size();
  }
  volatile uint64_t kept = sum;
  (void)kept;
  fathom::GgufParts parts;
  parts.metadata = file->metadata;
  for (const fathom::NamedTensor& named : file->tensors)
    parts.tensors.push_back({named.name, named.tensor, 0});
  parts.shards.push_back({"input", fathom::FileBytes(bytes, nullptr), {}});
  (void)fathom::Tokenizer::from_gguf(parts.metadata, "input").ok();
  auto config = fathom::gguf_config(parts, "input");
  if (config.ok())
    (void)fathom::gguf_checkpoint(config->config, parts, "input", config->notes).ok();
  return 0;
}
