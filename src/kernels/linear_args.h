// What linear.cc hands to the kernels of one instruction set: raw pointers and numbers, one
// thread's work. The files of an instruction set include nothing but this, so no code of theirs can
// leak into the rest.
#pragma once

#include <cstdint>

namespace fathom {

// Prepared rows are padded with zeros to a multiple of this, the K of one FP8 scale.
inline constexpr int64_t kLinearBlock = 128;
inline constexpr int64_t kMaxSegments = 8;

enum class WeightType : uint8_t { kF32, kF16, kBf16, kE4m3 };

// ---- tiles (amx)

inline constexpr int64_t kTileRows = 16;    // rows of an input that one tile holds
inline constexpr int64_t kTileStep = 32;    // k of one product of tiles
inline constexpr int64_t kTileChunk = 256;  // k whose tiles stand together
inline constexpr int64_t kTaskRows = 512;   // rows that a task of the tile kernels may have

// Rows of an input as BF16, twice: row after row, from which rows are gathered, and as the tiles
// that the kernels read. A tile is [16 pairs of k][width rows][2], width = min(16, rows of the
// input). The tiles of 256 k stand together: [k_padded / 256][rows / 16][256 / 32], so that a chunk
// of k that the second-level cache keeps is one piece of memory.
struct TileInput {
  const uint16_t* rows = nullptr;      // null: the input is not of BF16 values
  int64_t row_stride = 0;              // values
  const uint16_t* tiles = nullptr;     // null: the range's rows are a list
  const float* tile_scales = nullptr;  // [rows / 16, k_padded / 128, 16]
  int64_t width = 0;
  int64_t n_tiles = 0;     // rows / 16, rounded up
  int64_t first_tile = 0;  // of the range
};
// Values before the tile of rows 16 m .. 16 m + 15 at k, a multiple of 32.
inline int64_t tile_offset(int64_t n_tiles, int64_t width, int64_t k_padded, int64_t m, int64_t k) {
  const int64_t begin = k / kTileChunk * kTileChunk;
  const int64_t length = k_padded - begin < kTileChunk ? k_padded - begin : kTileChunk;
  return (n_tiles * begin + m * length + k - begin) * width;
}

// What one thread of the tile kernels needs beside its arguments.
struct TileScratch {
  alignas(64) uint16_t tiles[512 * 1024];  // gathered rows
  alignas(64) float tile_scales[8 * 1024];
  alignas(64) float sums[256 * 1024];           // [parts][columns / 16][rows / 16][16][16]
  alignas(64) uint16_t panel[2 * 8 * 16 * 32];  // weights widened: [columns / 16][k / 32][16][32]
  alignas(64) float block[2 * 4 * 256];         // sums of a block of k, and of the one before
};

// y[i, n - n_begin] = sum over k of x[row(i), k] * w[n, k] for i in [0, n_rows), n in [n_begin,
// n_end).
struct LinearRange {
  const float* x = nullptr;  // prepared rows, padded with zeros to a multiple of kLinearBlock
  int64_t x_stride = 0;      // floats
  bool pairs = false;  // x and x_stride are of pairs of BF16, both values of a pair in a float
  const float* x_scales = nullptr;  // [rows, ceil(k/128)], 1 where the format has no scale
  int64_t x_scale_stride = 0;
  const int32_t* rows = nullptr;  // row(i); null: row(i) = i
  int64_t n_rows = 0;

  WeightType w_type = WeightType::kF32;
  const char* w = nullptr;  // row 0 of the weight; rows are dense, any alignment
  int64_t k = 0;
  const float* w_scales = nullptr;  // kE4m3: [ceil(n/128), ceil(k/128)]
  int64_t n_begin = 0, n_end = 0;
  int n_segments = 1;  // 1, or 8 with k a multiple of 1024

  TileInput tile;  // amx: where the format's values are BF16, in place of x and x_scales
  TileScratch* tile_scratch = nullptr;

  float* y = nullptr;
  int64_t ldy = 0;

  int64_t row(int64_t i) const { return rows == nullptr ? i : rows[i]; }
};

enum class RowRounding : uint8_t { kNone, kBf16, kE4m3, kE4m3Ue8m0 };

// One row of an input, made ready: rounded, with zeros up to k_padded.
struct PrepareRow {
  const float* x = nullptr;
  int64_t k = 0;
  int64_t k_padded = 0;  // k rounded up to a multiple of 128
  RowRounding rounding = RowRounding::kNone;
  float* out = nullptr;     // [k_padded]
  float* scales = nullptr;  // [k_padded / 128]: of the tile for E4M3, else 1
};

// Up to 16 rows of an input as TileInput has them.
struct PrepareTiles {
  const float* x = nullptr;
  int64_t ldx = 0;
  int64_t n_rows = 0;
  int64_t k = 0;
  int64_t k_padded = 0;
  RowRounding rounding = RowRounding::kBf16;  // not kNone
  uint16_t* rows = nullptr;
  int64_t row_stride = 0;
  float* scales = nullptr;    // [n_rows, k_padded / 128]
  uint16_t* tiles = nullptr;  // of the whole input
  float* tile_scales = nullptr;
  int64_t width = 0;
  int64_t n_tiles = 0;  // of the input
  int64_t tile = 0;     // these rows' one
};

// One row of a weight as F32.
struct WeightRow {
  WeightType w_type = WeightType::kF32;
  const char* w = nullptr;  // the row
  int64_t k = 0;
  const float* scales = nullptr;  // kE4m3: [ceil(k/128)] of this row
  float* out = nullptr;
};

// Memory of one weight, for addressing.
inline constexpr int64_t weight_type_bytes(WeightType type) {
  return type == WeightType::kF32 ? 4 : type == WeightType::kE4m3 ? 1 : 2;
}

namespace ref {
void linear_range(const LinearRange& args);
void prepare_row(const PrepareRow& args);
void weight_row(const WeightRow& args);
}  // namespace ref
namespace avx2 {
void linear_range(const LinearRange& args);
void prepare_row(const PrepareRow& args);
void weight_row(const WeightRow& args);
}  // namespace avx2
namespace avx512 {
void linear_range(const LinearRange& args);
void prepare_row(const PrepareRow& args);
void weight_row(const WeightRow& args);
}  // namespace avx512
namespace avx512bf16 {
void linear_range(const LinearRange& args);
void prepare_pairs(const PrepareRow& args, uint16_t* out);
}  // namespace avx512bf16
namespace neon {
void linear_range(const LinearRange& args);
void prepare_row(const PrepareRow& args);
void weight_row(const WeightRow& args);
}  // namespace neon
namespace amx {
void linear_range(const LinearRange& args);
void prepare_tiles(const PrepareTiles& args);
}  // namespace amx

}  // namespace fathom
