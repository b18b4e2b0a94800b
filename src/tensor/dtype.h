// The element types of published checkpoints and of activations, under their safetensors names.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace fathom {

enum class Dtype : uint8_t {
  kF32,
  kF16,
  kBF16,
  kF8E4M3,
  kF8E8M0,
  kF64,
  kI64,
  kI32,
  kI16,
  kI8,
  kU8,
  kBool
};

// Bytes of one element.
int64_t dtype_size(Dtype dtype);
// "BF16", "F8_E4M3", ... as in a safetensors header.
std::string_view dtype_name(Dtype dtype);
std::optional<Dtype> dtype_from_name(std::string_view name);

}  // namespace fathom
