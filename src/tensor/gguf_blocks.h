// The block types of GGUF: rows of floats into blocks, and whether a block's scales are numbers.
// What the bytes of a block are is said in gguf_blocks.cc; the kernels read them
// (kernels/quant.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace fathom {

// Q8_0, Q4_0, Q4_K, Q5_K, Q6_K.
bool is_gguf_block_type(Dtype dtype);

// A row of k values (whole blocks, finite) as blocks. Q8_0 and Q4_0: one scale from the value of
// largest magnitude. K-quants: scale and minimum of each group searched for the least squared
// error, then rounded to the block's own.
void write_blocks(Dtype dtype, const float* row, int64_t k, std::byte* out);

// Whether the scales (and minima) of a block are finite.
bool is_finite_gguf_block(Dtype dtype, const std::byte* block);

}  // namespace fathom
