// Integer weights as the kernels of one instruction set see them: the formats, and one thread's
// work as raw pointers and numbers. Nothing but this is included by the files of an instruction
// set.
//
// A weight is cut along k into groups with one F32 scale s_w, for some formats also a minimum m_w:
// w = s_w * (u - offset) - m_w, u the unsigned code. Inputs are INT8 in tiles as long as a group:
// x = s_x * q. The sum of a group, sum of q * (u - offset), is an exact int32, so its order and the
// layout are free; groups are added in ascending order from zero by
//   acc = fma(float(sum), s_x * s_w, acc)
//   acc = fma(float(sum of q), -(s_x * m_w), acc)   formats with a minimum
// with each product of scales rounded to F32 once. Every instruction set gives the same bytes.
#pragma once

#include <cstdint>

namespace fathom {

enum class QuantType : uint8_t {
  kInt8,
  kInt4,
  kQ8_0,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ4_K,
  kQ5_K,
  kQ6_K
};

// Rows of a packed panel, and output columns of one step of the kernels.
inline constexpr int64_t kPanelWidth = 16;
// Columns of k that kernels take at once: whole groups and whole blocks of every format, or half a
// block of 256.
inline constexpr int64_t kQuantChunk = 128;
inline constexpr int64_t kMinQuantGroup = 16;

struct QuantFormat {
  bool packed;          // panels of 16 rows, else GGUF rows
  int64_t block;        // columns of a block
  int64_t block_bytes;  // of all rows of the block
  int64_t group;        // columns that share a scale
  int32_t offset;
  bool has_minimum;
};
constexpr QuantFormat quant_format(QuantType type) {
  switch (type) {
    case QuantType::kInt8:
      return {true, 128, 64 + 16 * 128, 128, 128, false};
    case QuantType::kInt4:
      return {true, 64, 64 + 16 * 32, 64, 0, true};
    case QuantType::kQ8_0:  // int8 codes; u = code + 128
      return {false, 32, 34, 32, 128, false};
    case QuantType::kQ4_0:
      return {false, 32, 18, 32, 8, false};
    case QuantType::kQ4_1:
      return {false, 32, 20, 32, 0, true};
    case QuantType::kQ5_0:
      return {false, 32, 22, 32, 16, false};
    case QuantType::kQ5_1:
      return {false, 32, 24, 32, 0, true};
    case QuantType::kQ4_K:
      return {false, 256, 144, 32, 0, true};
    case QuantType::kQ5_K:
      return {false, 256, 176, 32, 0, true};
    case QuantType::kQ6_K:
      return {false, 256, 210, 16, 32, false};
  }
  return {};
}

// Where a block of Q4_0 and its kin has what follows its scale, and the minimum behind that:
// 4 bytes with the fifth bit of code k in bit k, if any, and 16 bytes with codes k and 16 + k.
struct SmallBlock {
  int64_t fifth;  // 0: none
  int64_t codes;
};
constexpr SmallBlock small_block(QuantType type) {
  const QuantFormat format = quant_format(type);
  const int64_t behind_scales = format.has_minimum ? 4 : 2;
  const bool fifth = format.block_bytes == behind_scales + 4 + 16;
  return {fifth ? behind_scales : 0, behind_scales + (fifth ? 4 : 0)};
}

// y[i, n - n_begin] for i in [0, n_rows), n in [n_begin, n_end).
struct QuantRange {
  const int8_t* x =
      nullptr;           // codes of the input, zeros from k to a multiple of 128; aligned to 64
  int64_t x_stride = 0;  // bytes from row to row, a multiple of 64
  const float* x_scales = nullptr;  // [rows, ceil(k / group)]
  const int32_t* x_sums = nullptr;  // of the codes of each tile
  int64_t x_tile_stride = 0;
  const int32_t* rows = nullptr;  // row of the input of row i; null: i
  int64_t n_rows = 0;

  QuantType type = QuantType::kInt8;
  const char* w = nullptr;  // the first panel or row; any alignment
  int64_t w_stride = 0;     // bytes from panel to panel, or from row to row
  int64_t k = 0;            // GGUF: whole blocks
  int64_t n_begin = 0, n_end = 0;
  int n_segments = 1;  // 1, or 8 with k a multiple of 1024

  float* y = nullptr;
  int64_t ldy = 0;

  int64_t row(int64_t i) const { return rows == nullptr ? i : rows[i]; }
};

// One row of an input in INT8: scale = amax / 127 of each tile, code = x / scale to the nearest,
// ties to even, within +-127; a scale of 0 has codes 0; a tile with a value that is not finite has
// scale NaN and codes 0.
struct PrepareInt8 {
  const float* x = nullptr;
  int64_t k = 0;
  int64_t k_padded = 0;     // k rounded up to a multiple of 128
  int64_t tile = 0;         // 16, 32, 64 or 128
  int8_t* codes = nullptr;  // [k_padded], zeros from k
  float* scales = nullptr;  // [k_padded / tile]
  int32_t* sums = nullptr;  // [k_padded / tile]
};

namespace ref {
void quant_range(const QuantRange& args);
void prepare_int8(const PrepareInt8& args);
// Row `row` of a weight whose panels or rows are w_stride bytes apart, as F32: the product
// s_w * (u - offset) rounded once, for formats with a minimum the difference rounded once more.
// Columns [k_begin, k_end) to out[0 ...]. For every instruction set.
void quant_weight_row(QuantType type, const char* w, int64_t w_stride, int64_t row, int64_t k_begin,
                      int64_t k_end, float* out);
}  // namespace ref
namespace avx2 {
void quant_range(const QuantRange& args);
void prepare_int8(const PrepareInt8& args);
}  // namespace avx2
namespace avx512 {
void quant_range(const QuantRange& args);
void prepare_int8(const PrepareInt8& args);
void quant_widen(const QuantRange& args, int64_t n, float* out, int64_t ld);
}  // namespace avx512
namespace neon {
void quant_range(const QuantRange& args);
void prepare_int8(const PrepareInt8& args);
}  // namespace neon
namespace neon_dotprod {
void quant_range(const QuantRange& args);
void prepare_int8(const PrepareInt8& args);
}  // namespace neon_dotprod
namespace amx {
void quant_range(const QuantRange& args);  // rows of avx512::prepare_int8
}  // namespace amx

}  // namespace fathom
