// A tensor as a file holds it: element type, shape, and bytes that someone else owns (a mapped
// file, an embedded model, a buffer). Row-major, no strides. Nothing here computes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/check.h"
#include "tensor/dtype.h"

namespace fathom {

struct Tensor {
  Dtype dtype = Dtype::kF32;
  std::vector<int64_t> shape;
  const void* data = nullptr;

  int64_t elements() const {
    int64_t n = 1;
    for (int64_t extent : shape) n *= extent;
    return n;
  }
  // Of a block type: the last extent is a row of the matrix that the others stack.
  int64_t bytes() const {
    if (!is_block_type(dtype)) return elements() * dtype_size(dtype);
    const int64_t k = shape.empty() ? 1 : shape.back();
    return k == 0 ? 0 : matrix_bytes(dtype, elements() / k, k);
  }
  // The elements as T; the caller has checked the dtype. May be unaligned for T where a file says
  // so: readers of files refuse such offsets.
  template <typename T>
  const T* as() const {
    return static_cast<const T*>(data);
  }
};

}  // namespace fathom
