#include "model/matrix_rows.h"

#include <algorithm>

#include "model/conversion.h"
#include "model/tensor_values.h"

namespace fathom {

MatrixRows::MatrixRows(const Tensor& matrix, const Tensor* scales)
    : isa_(available_isas().back()), scales_(scales == nullptr ? 0 : scales->elements()) {
  FATHOM_CHECK((scales != nullptr) == (matrix.dtype == Dtype::kF8E4M3), dtype_name(matrix.dtype));
  for (int64_t i = 0; i < scales_.size(); ++i) scales_[i] = value_at(*scales, i);
  weight_.dtype = matrix.dtype;
  weight_.n = matrix.shape[0];
  weight_.k = matrix.shape[1];
  weight_.data = matrix.data;
  weight_.scale_inv = scales == nullptr ? nullptr : scales_.data();
}

int64_t MatrixRows::rows_of(int64_t panel) const {
  return std::min(kPackedRows, weight_.n - panel * kPackedRows);
}

void MatrixRows::read(int64_t panel, float* w, int64_t ldw) const {
  const int64_t n_rows = rows_of(panel);
  if (!is_packed_type(weight_.dtype)) {
    for (int64_t r = 0; r < n_rows; ++r) {
      weight_row(isa_, weight_, panel * kPackedRows + r, w + r * ldw);
    }
    return;
  }
  const DtypeBlock block = dtype_block(weight_.dtype);
  const auto* at = static_cast<const std::byte*>(weight_.data) +
                   panel * matrix_bytes(weight_.dtype, kPackedRows, weight_.k);
  for (int64_t c = 0; c < weight_.k; c += block.cols, at += block.bytes) {
    unpack_block(weight_.dtype, at, n_rows, std::min(block.cols, weight_.k - c), w + c, ldw);
  }
}

void MatrixRows::release(int64_t begin, int64_t end) const {
  const int64_t panel_bytes = matrix_bytes(weight_.dtype, kPackedRows, weight_.k);
  const int64_t all = matrix_bytes(weight_.dtype, weight_.n, weight_.k);
  const int64_t first = begin * panel_bytes;
  release_pages(static_cast<const std::byte*>(weight_.data) + first,
                std::min(end * panel_bytes, all) - first);
}

}  // namespace fathom
