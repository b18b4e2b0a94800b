#include "model/encoded_rows.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "base/math.h"
#include "model/tensor_values.h"
#include "tensor/gguf_blocks.h"

namespace fathom {

namespace {

// The largest magnitude that the type can say. Blocks have their scales in F16: a code of Q8_0 goes
// to 127, one of Q4_0 to 8, and the others' groups reach further than that.
float largest_value(Dtype dtype) {
  constexpr float kF16Max = 65504;
  if (dtype == Dtype::kF16) return kF16Max;
  if (dtype == Dtype::kQ8_0) return 127 * kF16Max;
  return is_gguf_block_type(dtype) ? 8 * kF16Max : std::numeric_limits<float>::max();
}

// False if a value is not finite, or too large.
bool encode(const float* values, int64_t n_rows, int64_t k, Dtype dtype, std::byte* out) {
  const float limit = largest_value(dtype);
  bool good = true;
  for (int64_t i = 0; i < n_rows * k; ++i) good &= std::fabs(values[i]) <= limit;
  if (!good) return false;
  if (is_gguf_block_type(dtype)) {
    for (int64_t r = 0; r < n_rows; ++r)
      write_blocks(dtype, values + r * k, k, out + r * matrix_bytes(dtype, 1, k));
  } else {
    write_floats(values, n_rows * k, dtype, out);
  }
  return true;
}

}  // namespace

RowUnits all_rows(std::shared_ptr<const MatrixRows> matrix) {
  RowUnits units;
  units.n_units = matrix->n_panels();
  units.rows_max = kPackedRows;
  units.k = matrix->k();
  units.rows_of = [matrix](int64_t unit) { return matrix->rows_of(unit); };
  units.fill = [matrix](int64_t unit, float* out) {
    matrix->read(unit, out, matrix->k());
    matrix->release(unit, unit + 1);
  };
  units.done = [matrix](int64_t end) { matrix->release(0, end); };
  return units;
}

void read_rows(const MatrixRows& matrix, int64_t begin, int64_t n, float* out) {
  std::vector<float> panel(static_cast<size_t>(kPackedRows * matrix.k()));
  for (int64_t row = begin; row < begin + n;) {
    const int64_t index = row / kPackedRows, first = row % kPackedRows;
    const int64_t count = std::min(matrix.rows_of(index) - first, begin + n - row);
    matrix.read(index, panel.data(), matrix.k());
    std::copy_n(panel.data() + first * matrix.k(), count * matrix.k(), out);
    out += count * matrix.k();
    row += count;
  }
}

TensorSource encoded(RowUnits units, Dtype dtype, std::string where) {
  return [units = std::move(units), dtype, where = std::move(where)](TensorSink& sink) -> Status {
    const int64_t row_bytes = matrix_bytes(dtype, 1, units.k);
    const int64_t unit_bytes = units.rows_max * row_bytes;
    const int64_t fitting = static_cast<int64_t>(sink.scratch().size()) / unit_bytes;
    FATHOM_CHECK(fitting > 0, "a unit has ", unit_bytes, " bytes");
    for (int64_t begin = 0; begin < units.n_units; begin += fitting) {
      const int64_t end = std::min(begin + fitting, units.n_units);
      std::atomic<bool> good{true};
      sink.pool().parallel_for(end - begin, [&](int64_t i, int) {
        std::vector<float> values(static_cast<size_t>(units.rows_max * units.k));
        units.fill(begin + i, values.data());
        if (!encode(values.data(), units.rows_of(begin + i), units.k, dtype,
                    sink.scratch().data() + i * unit_bytes))
          good = false;
      });
      if (!good)
        return invalid_error(where, " holds a value that ", dtype_name(dtype),
                             " cannot say: not finite, or larger than ", largest_value(dtype));
      // Only the last unit may have fewer rows.
      const int64_t bytes = (end - begin - 1) * unit_bytes + units.rows_of(end - 1) * row_bytes;
      FATHOM_RETURN_IF_ERROR(sink.write(sink.scratch().first(static_cast<size_t>(bytes))));
      if (units.done) units.done(end);
    }
    return {};
  };
}

}  // namespace fathom
