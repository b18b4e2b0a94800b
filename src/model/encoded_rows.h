// Matrices made row by row on their way into a file: computed in F32 by all threads, then written
// in any type that GGUF or a published folder has.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "model/conversion.h"
#include "model/matrix_rows.h"
#include "tensor/dtype.h"

namespace fathom {

// Parts of a matrix that are made at once, by any number of threads: fill(unit, out) leaves
// rows_of(unit) rows of k floats, rows_max of them in all but the last unit. done(end), if there
// is one, lets go what all units up to that were made from.
struct RowUnits {
  int64_t n_units = 0;
  int64_t rows_max = 0;
  int64_t k = 0;
  std::function<int64_t(int64_t unit)> rows_of;
  std::function<void(int64_t unit, float* out)> fill;
  std::function<void(int64_t end)> done = nullptr;
};

// All rows of the matrix as they are, panel by panel; pages of its file are let go.
RowUnits all_rows(std::shared_ptr<const MatrixRows> matrix);
// Rows [begin, begin + n) of the matrix to out.
void read_rows(const MatrixRows& matrix, int64_t begin, int64_t n, float* out);

// dtype: F32, F16, BF16 or a block type of GGUF. Needs scratch for rows_max rows. A value that the
// type cannot say (not finite, too large for F16) is an error that begins with where.
TensorSource encoded(RowUnits units, Dtype dtype, std::string where);

}  // namespace fathom
