// Linear layers: y[m, n] = sum over k of x[m, k] * w[n, k], weights as the published files store
// them, row-major [n, k], read where they lie. The order of every sum is docs/numerics.md 1-3: it
// depends on k, the dtypes and the instruction set, never on m, the thread, the tile, or which rows
// share the call.
//
// Inputs are prepared once (rounded, quantised, laid out for the instruction set) and then used by
// every layer that reads them; experts pick their rows by index.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/dispatch.h"
#include "tensor/buffer.h"
#include "tensor/dtype.h"

namespace fathom {

struct TileInput;

// One weight matrix, not owned. dtype: F32, F16, BF16, F8_E4M3, or a block type (quant_args.h),
// whose rows (GGUF: k is whole blocks) or panels of 16 rows (INT8, INT4) lie one after another.
struct LinearWeight {
  Dtype dtype = Dtype::kF32;
  int64_t n = 0;               // out_features
  int64_t k = 0;               // in_features
  const void* data = nullptr;  // [n, k], any alignment
  const float* scale_inv =
      nullptr;  // F8_E4M3: [ceil(n/128), ceil(k/128)], the multiplier of each 128x128 block
  // 1, or 8 where k is a multiple of 1024 and the layer may be split over ranks (o_proj, down_proj
  // of dense layers and shared experts): k is added in 8 equal segments, combined as a binary tree.
  int n_segments = 1;
  bool empty() const { return data == nullptr; }
};

// What enters a linear layer (numerics 7). Follows from the --activations mode and the weight's
// dtype.
enum class InputFormat : uint8_t {
  kF32,          // as it is; any weight
  kBf16,         // rounded to BF16; BF16 weights
  kBf16Rounded,  // rounded to BF16, kept as F32; F32 and F16 weights
  kBf16ForFp8,   // rounded to BF16, no scale; F8_E4M3 weights
  kFp8,          // E4M3 in tiles of 1x128 with an F32 scale (spec §3.3); F8_E4M3 weights
  kFp8Ue8m0,     // the same, scales rounded up to powers of two (spec §3.4)
  // INT8 in tiles of 1 x this many columns with an F32 scale (PrepareInt8); block types whose
  // groups are as long.
  kInt8Tiles128,
  kInt8Tiles64,
  kInt8Tiles32,
  kInt8Tiles16,
};

enum class Activations : uint8_t { kFull, kBf16, kFp8, kFp8Ue8m0, kInt8 };
InputFormat input_format(Activations activations, Dtype weight_dtype);
// Columns that share a scale: 128 but for the shorter INT8 tiles.
int64_t input_tile(InputFormat format);
inline bool is_int8(InputFormat format) { return format >= InputFormat::kInt8Tiles128; }

// Rows prepared for linear layers. Memory is taken when constructed, none after. One writer;
// readable by many threads once prepared.
class LinearInput {
 public:
  LinearInput() = default;
  // Room for max_rows rows of at most max_k values in any format.
  LinearInput(int64_t max_rows, int64_t max_k);

  // x [m, k] with ldx floats from row to row. m <= max_rows, k <= max_k. Rows are independent; done
  // in parallel.
  void prepare(const Compute& compute, const float* x, int64_t ldx, int64_t m, int64_t k,
               InputFormat format);
  // The same for rows [row_begin, row_end) of an input whose shape was set by begin(), x being row
  // row_begin; for use inside a task. row_begin is a multiple of kRowStep, and so is row_end if it
  // is not m.
  static constexpr int64_t kRowStep = 16;
  void begin(Isa isa, int64_t m, int64_t k, InputFormat format);
  void prepare_rows(const float* x, int64_t ldx, int64_t row_begin, int64_t row_end);

  int64_t rows() const { return m_; }
  int64_t k() const { return k_; }
  InputFormat format() const { return format_; }
  int64_t bytes() const;  // of its memory
  // Value k of row m as the format rounds it, without its scale; not of INT8.
  float value(int64_t m, int64_t k) const;
  // The scale of each tile of a row; 1 in the formats without scales.
  const float* scales(int64_t m) const;
  int64_t scale_stride() const;  // tiles of a row, padded to a multiple of 128 columns
  // INT8: k codes, then zeros up to a multiple of 128; aligned to 64 bytes, as rows are apart.
  const int8_t* codes(int64_t m) const;
  int64_t code_stride() const;  // bytes
  // INT8: the sum of the codes of each tile, scale_stride() from row to row.
  const int32_t* code_sums(int64_t m) const;

  // What the kernels read. Vector kernels: k values as F32, then zeros up to a multiple of 128; in
  // pairs as BF16. Tile kernels: linear_args.h. Sets that have pairs or tiles use them where the
  // format's values are BF16.
  bool paired() const;
  bool tiled() const;
  const float* row(int64_t m) const;
  int64_t row_stride() const;  // floats, or pairs
  // tiles: whether the rows from first_row on are wanted as tiles, or only as rows to gather.
  TileInput tile_input(int64_t first_row, bool tiles) const;

 private:
  bool has_bf16_values() const;
  void prepare_int8_rows(const float* x, int64_t ldx, int64_t row_begin, int64_t row_end);
  uint16_t* tile_row(int64_t m);
  uint16_t* tiles();
  float* tile_scales(int64_t m);

  int64_t m_ = 0, k_ = 0, max_rows_ = 0, max_k_ = 0;
  Isa isa_ = Isa::kRef;
  InputFormat format_ = InputFormat::kF32;
  Buffer<float> values_;  // or codes
  Buffer<float> scales_;  // of each row
  Buffer<int32_t> sums_;
  Buffer<float> tile_scales_;  // of 16 rows at a time
};

// One product over rows of a shared input.
struct LinearJob {
  const LinearWeight* weight = nullptr;
  const int32_t* rows = nullptr;  // [n_rows] row numbers of the input; null: rows 0 .. n_rows-1
  int64_t n_rows = 0;
  float* y = nullptr;  // [n_rows, n], ldy floats from row to row; must not overlap the input
  int64_t ldy = 0;
};
// All jobs in one parallel region, divided by output columns (and rows, when many). Every weight of
// the call must accept the input's format: F8_E4M3 takes kF32, kBf16ForFp8, kFp8*; BF16 kF32,
// kBf16; F32 and F16 kF32, kBf16Rounded; block types those two, and INT8 in tiles of their group.
void linear(const Compute& compute, const LinearInput& x, std::span<const LinearJob> jobs);
// The whole input through one weight.
void linear(const Compute& compute, const LinearInput& x, const LinearWeight& w, float* y,
            int64_t ldy);

// h = silu(x gate^T) * (x up^T), fused: the first half of a SwiGLU MLP (spec §2.6). gate and up
// have equal shapes.
struct GluJob {
  const LinearWeight* gate = nullptr;
  const LinearWeight* up = nullptr;
  const int32_t* rows = nullptr;
  int64_t n_rows = 0;
  float* h = nullptr;  // [n_rows, n]
  int64_t ldh = 0;
};
void linear_glu(const Compute& compute, const LinearInput& x, std::span<const GluJob> jobs);

// Output columns [n_begin, n_end) for rows [m_begin, m_end), on the calling thread: y[(m - m_begin)
// * ldy + n - n_begin]. The same bits as linear().
void linear_range(Isa isa, const LinearInput& x, const LinearWeight& w, int64_t m_begin,
                  int64_t m_end, int64_t n_begin, int64_t n_end, float* y, int64_t ldy);

// What a thread takes when it first computes a linear layer, and keeps.
int64_t linear_thread_bytes();

// Element [row, col] of the weight as F32 (F8_E4M3: float(q) * scale, rounded once; block types: as
// ref::quant_weight_row).
float weight_at(const LinearWeight& w, int64_t row, int64_t col);
// Row `row`, columns [0, k), as F32 the same way, vectorised.
void weight_row(Isa isa, const LinearWeight& w, int64_t row, float* out);

}  // namespace fathom
