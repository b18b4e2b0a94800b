// The numbers that GGUF files have for element types: those that run, and the others by name and
// size, so that a refusal can say what a file holds.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "tensor/dtype.h"

namespace fathom {

struct GgufTensorType {
  uint32_t code;
  std::string_view name;
  std::optional<Dtype> dtype;  // none: does not run
};
// Null if the number is not known.
const GgufTensorType* find_gguf_tensor_type(uint32_t code);
// Of a dtype that GGUF has: F32, F16, BF16 and the block types of GGUF.
std::optional<uint32_t> gguf_type_code(Dtype dtype);

}  // namespace fathom
