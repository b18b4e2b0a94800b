// Integer weights (block types of tensor/dtype.h) behind linear.h: INT8 inputs go to the kernels of
// quant_args.h; F32 inputs take the weights widened row by row, in the order of F32 weights.
#pragma once

#include <cstdint>

#include "kernels/linear.h"

namespace fathom {

// INT8 in tiles as long as the groups of this block type.
InputFormat quant_input_format(Dtype weight);
bool quant_accepts(Dtype weight, InputFormat format);

// As linear_range, for rows [m_begin, m_end) of the list `rows`, or of the input where it is null.
void quant_range(Isa isa, const LinearInput& x, const LinearWeight& w, const int32_t* rows,
                 int64_t m_begin, int64_t m_end, int64_t n_begin, int64_t n_end, float* y,
                 int64_t ldy);

// Columns [k_begin, k_end) of a row as F32.
void quant_row(const LinearWeight& w, int64_t row, int64_t k_begin, int64_t k_end, float* out);

}  // namespace fathom
