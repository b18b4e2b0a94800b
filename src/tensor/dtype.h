// The element types of published checkpoints, of activations and of quantised weights, under their
// safetensors and GGUF names. Types from kQ8_0 on are block types: a block of consecutive elements
// of a row (GGUF), or of 16 rows (ours, docs/quantization.md), shares its scales and is stored as
// one piece.
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
  kBool,
  kQ8_0,  // 32 elements: F16 scale, 32 int8
  kQ4_0,  // 32 elements: F16 scale, 32 codes of 4 bits, minus 8
  kQ4_1,  // 32 elements: F16 scale and minimum, 32 codes of 4 bits
  kQ5_0,  // 32 elements: F16 scale, fifth bits, 32 codes of 4 bits, minus 16
  kQ5_1,  // 32 elements: F16 scale and minimum, fifth bits, 32 codes of 4 bits
  kQ4_K,  // 256 elements: F16 scale and minimum, 8 groups of 32 with 6-bit scale and minimum
  kQ5_K,  // as Q4_K with codes of 5 bits
  kQ6_K,  // 256 elements: codes of 6 bits minus 32, 16 groups of 16 with int8 scales, F16 scale
  kInt8,  // 16 rows x 128 columns
  kInt4,  // 16 rows x 64 columns
};

// What is stored as one piece: rows x cols elements in `bytes` bytes. 1 x 1 for plain types.
struct DtypeBlock {
  int64_t rows, cols, bytes;
};
DtypeBlock dtype_block(Dtype dtype);
inline bool is_block_type(Dtype dtype) { return dtype >= Dtype::kQ8_0; }
// Bytes of one element of a plain type.
int64_t dtype_size(Dtype dtype);
// Bytes of a matrix [n, k]: both rounded up to whole blocks.
int64_t matrix_bytes(Dtype dtype, int64_t n, int64_t k);
// "BF16", "F8_E4M3", "Q4_K", ...
std::string_view dtype_name(Dtype dtype);
// Of a safetensors header, which has plain types only.
std::optional<Dtype> dtype_from_name(std::string_view name);

}  // namespace fathom
