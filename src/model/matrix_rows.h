// A matrix of a checkpoint as F32, sixteen rows at a time, whatever it is stored as: what
// conversions read and what reports compare.
#pragma once

#include <cstdint>

#include "base/math.h"
#include "kernels/linear.h"
#include "tensor/buffer.h"
#include "tensor/packed.h"
#include "tensor/tensor.h"

namespace fathom {

class MatrixRows {
 public:
  // matrix [n, k]: F32, F16, BF16, INT8, INT4, or F8_E4M3 with its scales (of any dtype; else
  // null). It must outlive this.
  MatrixRows(const Tensor& matrix, const Tensor* scales);

  int64_t n() const { return weight_.n; }
  int64_t k() const { return weight_.k; }
  int64_t n_panels() const { return ceil_div(weight_.n, kPackedRows); }
  // Of a panel: 16, or the rest.
  int64_t rows_of(int64_t panel) const;
  // Rows 16 * panel and on, ldw floats from row to row. By any number of threads.
  void read(int64_t panel, float* w, int64_t ldw) const;
  // Lets go the pages of a mapped file that hold these panels (release_pages()).
  void release(int64_t begin, int64_t end) const;

 private:
  Isa isa_;
  Buffer<float> scales_;
  LinearWeight weight_;
};

}  // namespace fathom
