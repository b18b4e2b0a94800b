#include "tensor/packed.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/math.h"
#include "tensor/numeric.h"
#include "tensor/packed_int4.h"

namespace fathom {

namespace {

constexpr int64_t kInt8Columns = 128;
constexpr int64_t kScalesBytes = 64;  // of either format, before the codes

// Where the code of a weight is within the codes of a block.
int64_t int8_place(int64_t row, int64_t col) {
  return col / 4 * (4 * kPackedRows) + row * 4 + col % 4;
}
// Columns 32 .. 63 are in the high nibbles of the bytes of columns 0 .. 31.
int64_t int4_place(int64_t row, int64_t col) { return int8_place(row, col % 32); }

bool pack_int8(const float* w, int64_t ldw, int64_t n_rows, int64_t n_cols, std::byte* block) {
  auto* const codes = reinterpret_cast<uint8_t*>(block + kScalesBytes);
  std::array<float, kPackedRows> scales = {};
  std::memset(codes, 128, static_cast<size_t>(kPackedRows * kInt8Columns));
  for (int64_t r = 0; r < n_rows; ++r) {
    const float* const row = w + r * ldw;
    float amax = 0;
    bool finite = true;
    for (int64_t c = 0; c < n_cols; ++c) {
      finite &= std::isfinite(row[c]);
      amax = std::max(amax, std::fabs(row[c]));
    }
    if (!finite) return false;
    const float scale = amax / 127;
    if (scale == 0) continue;
    scales[static_cast<size_t>(r)] = scale;
    for (int64_t c = 0; c < n_cols; ++c) {
      // Beyond 127 only where a subnormal scale was rounded.
      const float q = std::clamp(round_to_integer(row[c] / scale), -127.0f, 127.0f);
      codes[int8_place(r, c)] = static_cast<uint8_t>(static_cast<int>(q) + 128);
    }
  }
  std::memcpy(block, scales.data(), sizeof scales);
  return true;
}

void unpack_int8(const std::byte* block, int64_t n_rows, int64_t n_cols, float* w, int64_t ldw) {
  std::array<float, kPackedRows> scales;
  std::memcpy(scales.data(), block, sizeof scales);
  const auto* const codes = reinterpret_cast<const uint8_t*>(block + kScalesBytes);
  for (int64_t r = 0; r < n_rows; ++r) {
    for (int64_t c = 0; c < n_cols; ++c) {
      w[r * ldw + c] =
          scales[static_cast<size_t>(r)] * static_cast<float>(codes[int8_place(r, c)] - 128);
    }
  }
}

// Scales, then minima.
using Int4Header = std::array<F16, 2 * kPackedRows>;

bool pack_int4(const float* w, int64_t ldw, int64_t n_rows, int64_t n_cols, std::byte* block,
               Int4Fit fit) {
  auto* const codes = reinterpret_cast<uint8_t*>(block + kScalesBytes);
  Int4Header header = {};
  std::memset(codes, 0, static_cast<size_t>(kPackedRows * kInt4Columns / 2));
  for (int64_t begin = 0; begin < n_rows; begin += kInt4Lanes) {
    const int64_t n = std::min(kInt4Lanes, n_rows - begin);
    Int4Groups groups;
    if (!fit_int4(w + begin * ldw, ldw, n, n_cols, fit, groups)) return false;
    for (int64_t l = 0; l < n; ++l) {
      const auto lane = static_cast<size_t>(l);
      const auto row = static_cast<size_t>(begin + l);
      header[row] = groups.scale[lane];
      header[row + kPackedRows] = groups.min[lane];
      for (int64_t c = 0; c < n_cols; ++c) {
        const uint8_t code = groups.codes[static_cast<size_t>(c)][lane];
        codes[int4_place(begin + l, c)] |= static_cast<uint8_t>(c < 32 ? code : code << 4);
      }
    }
  }
  std::memcpy(block, header.data(), sizeof header);
  return true;
}

void unpack_int4(const std::byte* block, int64_t n_rows, int64_t n_cols, float* w, int64_t ldw) {
  Int4Header header;
  std::memcpy(header.data(), block, sizeof header);
  const auto* const codes = reinterpret_cast<const uint8_t*>(block + kScalesBytes);
  for (int64_t r = 0; r < n_rows; ++r) {
    const float scale = f16_to_f32(header[static_cast<size_t>(r)]);
    const float min = f16_to_f32(header[static_cast<size_t>(r + kPackedRows)]);
    for (int64_t c = 0; c < n_cols; ++c) {
      const uint8_t byte = codes[int4_place(r, c)];
      w[r * ldw + c] = scale * static_cast<float>(c < 32 ? byte & 15 : byte >> 4) - min;
    }
  }
}

}  // namespace

std::vector<int64_t> packed_shape(Dtype dtype, int64_t n, int64_t k) {
  FATHOM_CHECK(is_packed_type(dtype), dtype_name(dtype), " is not packed");
  const DtypeBlock block = dtype_block(dtype);
  return {ceil_div(n, block.rows), ceil_div(k, block.cols), block.bytes};
}

namespace {
void check_block(Dtype dtype, int64_t n_rows, int64_t n_cols) {
  FATHOM_CHECK(is_packed_type(dtype), dtype_name(dtype), " is not packed");
  FATHOM_CHECK(
      n_rows >= 1 && n_rows <= kPackedRows && n_cols >= 1 && n_cols <= dtype_block(dtype).cols,
      "a block of ", n_rows, " x ", n_cols);
}
}  // namespace

bool pack_block(Dtype dtype, const float* w, int64_t ldw, int64_t n_rows, int64_t n_cols,
                std::byte* block, Int4Fit fit) {
  check_block(dtype, n_rows, n_cols);
  return dtype == Dtype::kInt8 ? pack_int8(w, ldw, n_rows, n_cols, block)
                               : pack_int4(w, ldw, n_rows, n_cols, block, fit);
}

void unpack_block(Dtype dtype, const std::byte* block, int64_t n_rows, int64_t n_cols, float* w,
                  int64_t ldw) {
  check_block(dtype, n_rows, n_cols);
  dtype == Dtype::kInt8 ? unpack_int8(block, n_rows, n_cols, w, ldw)
                        : unpack_int4(block, n_rows, n_cols, w, ldw);
}

bool is_finite_block(Dtype dtype, const std::byte* block) {
  FATHOM_CHECK(is_packed_type(dtype), dtype_name(dtype), " is not packed");
  if (dtype == Dtype::kInt8) {
    std::array<float, kPackedRows> scales;
    std::memcpy(scales.data(), block, sizeof scales);
    return std::all_of(scales.begin(), scales.end(), [](float s) { return std::isfinite(s); });
  }
  Int4Header header;
  std::memcpy(header.data(), block, sizeof header);
  return std::all_of(header.begin(), header.end(),
                     [](F16 value) { return (value & 0x7c00) != 0x7c00; });
}

}  // namespace fathom
