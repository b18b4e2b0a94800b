// Activations kept for the pass back (report §3.3.3, "Low-Precision Activation"; spec §6.7).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/dispatch.h"
#include "tensor/buffer.h"

namespace fathom {

enum class SavedFormat : uint8_t {
  kF32,
  kBf16,
  kFp8,   // E4M3 with an F32 scale for each tile of 1x128, the bits of LinearInput's kFp8
  kE5m6,  // the 12-bit format: 5 bits of exponent (bias 15), 6 of mantissa, power-of-two scales for
          // tiles of 1x128, so that other tiles add no error. Kept as BF16, which holds its values.
};

// Rows of one of the formats, not owned.
struct RowsView {
  SavedFormat format = SavedFormat::kF32;
  const void* data = nullptr;
  int64_t stride = 0;             // values from row to row
  const float* scales = nullptr;  // kFp8: [rows, scale_stride]
  int64_t scale_stride = 0;
};
inline RowsView f32_rows(const float* x, int64_t stride) {
  return {SavedFormat::kF32, x, stride, nullptr, 0};
}
// Row `row`, columns [0, n), as F32: code times scale, rounded once.
void read_row(Isa isa, const RowsView& rows, int64_t row, int64_t n, float* out);

// Owns rows of one format. Memory is taken when it is made.
class SavedRows {
 public:
  SavedRows() = default;
  SavedRows(SavedFormat format, int64_t max_rows, int64_t max_k);

  // x [m, k], ldx floats from row to row, m * k within what there is room for.
  void store(const Compute& compute, const float* x, int64_t ldx, int64_t m, int64_t k);
  // The rows back as F32, ldo floats from row to row.
  void load(const Compute& compute, float* out, int64_t ldo) const;
  RowsView view() const;

 private:
  SavedFormat format_ = SavedFormat::kF32;
  int64_t max_rows_ = 0, max_k_ = 0;
  int64_t m_ = 0, k_ = 0;
  Buffer<std::byte> data_;
  Buffer<float> scales_;
};

}  // namespace fathom
