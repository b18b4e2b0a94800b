// Elements of small tensors as F32, whatever floating-point dtype the file has (spec §1.3: norms,
// biases, scales).
#pragma once

#include <cstdint>

#include "tensor/tensor.h"

namespace fathom {

// F32, F16 or BF16.
bool is_float_dtype(Dtype dtype);

// Element i of a tensor of F32, F16, BF16, F8_E4M3 or F8_E8M0.
float value_at(const Tensor& tensor, int64_t i);

// n values rounded to the dtype (F32, F16, BF16; ties to even); out is aligned for it.
void write_floats(const float* values, int64_t n, Dtype dtype, void* out);

// The index of the first NaN code (0x7f or 0xff), or -1. At the speed of memory.
int64_t find_e4m3_nan(const uint8_t* codes, int64_t n);

}  // namespace fathom
