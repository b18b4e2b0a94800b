// Packed weights (docs/quantization.md): INT8 and INT4 in blocks of 16 rows, laid out for the
// kernels. Here is what makes the bytes of a block out of F32 values, and what its bytes mean: the
// definition that kernels are tested against. Not here: multiplying with them (kernels/linear.h).
//
// Every byte is a function of the block's values alone, the same on every machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tensor/dtype.h"

namespace fathom {

inline constexpr int64_t kPackedRows = 16;       // of a block, and so of a panel
inline constexpr int64_t kPackedAlignment = 64;  // of a packed tensor's data

inline bool is_packed_type(Dtype dtype) { return dtype == Dtype::kInt8 || dtype == Dtype::kInt4; }

// A packed matrix [n, k] as an array of bytes: [panels, blocks of a panel, bytes of a block].
std::vector<int64_t> packed_shape(Dtype dtype, int64_t n, int64_t k);

// How scale and minimum of a group of INT4 are found.
enum class Int4Fit : uint8_t {
  kMinMax,    // from the smallest and the largest value
  kSearched,  // several shrunken ranges, each refitted by least squares after rounding; the best
};

// w: n_rows <= 16 rows of n_cols <= the block's columns, ldw floats from row to row. What is
// missing of the block becomes zero weights (columns: code 0, which meets zeros only). False, and
// the block is not to be used, if a value is not finite or, for INT4, too large for F16 (65,504).
bool pack_block(Dtype dtype, const float* w, int64_t ldw, int64_t n_rows, int64_t n_cols,
                std::byte* block, Int4Fit fit = Int4Fit::kSearched);

// The weights of a block's first rows and columns, ldw floats from row to row: scale * (u - 128),
// or scale * u - min, each product and difference rounded once.
void unpack_block(Dtype dtype, const std::byte* block, int64_t n_rows, int64_t n_cols, float* w,
                  int64_t ldw);

// Whether the block's scales and minima are numbers.
bool is_finite_block(Dtype dtype, const std::byte* block);

}  // namespace fathom
