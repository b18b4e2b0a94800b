// The definition of integer weights: one group of one row at a time, plain loops over its codes.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/quant_args.h"
#include "tensor/numeric.h"

namespace fathom::ref {

namespace {

constexpr int64_t kMaxGroup = 128;
constexpr int64_t kRowChunk = 64;
constexpr int kMaxSegments = 8;

struct Group {
  int32_t codes[kMaxGroup];  // u - offset
  float scale = 0.0f;
  float minimum = 0.0f;
};

float read_f16(const uint8_t* p) {
  uint16_t bits = 0;
  std::memcpy(&bits, p, 2);
  return f16_to_f32(bits);
}

void read_int8(const uint8_t* block, int64_t lane, Group& group) {
  std::memcpy(&group.scale, block + 4 * lane, 4);
  for (int64_t k = 0; k < 128; ++k)
    group.codes[k] = block[64 + k / 4 * 64 + lane * 4 + k % 4] - 128;
}

void read_int4(const uint8_t* block, int64_t lane, Group& group) {
  group.scale = read_f16(block + 2 * lane);
  group.minimum = read_f16(block + 32 + 2 * lane);
  for (int64_t k = 0; k < 64; ++k) {
    const uint8_t byte = block[64 + k % 32 / 4 * 64 + lane * 4 + k % 4];
    group.codes[k] = k < 32 ? byte & 15 : byte >> 4;
  }
}

void read_q8_0(const uint8_t* block, Group& group) {
  group.scale = read_f16(block);
  for (int64_t k = 0; k < 32; ++k) group.codes[k] = static_cast<int8_t>(block[2 + k]);
}

// Q4_0 and its kin: a scale, for some a minimum that is added, for some a fifth bit of every code.
template <QuantType kType>
void read_small(const uint8_t* block, Group& group) {
  constexpr SmallBlock kPlaces = small_block(kType);
  constexpr int32_t kOffset = quant_format(kType).offset;
  group.scale = read_f16(block);
  if constexpr (quant_format(kType).has_minimum) group.minimum = -read_f16(block + 2);
  const uint8_t* codes = block + kPlaces.codes;
  for (int64_t k = 0; k < 32; ++k) {
    int32_t code = k < 16 ? codes[k] & 15 : codes[k - 16] >> 4;
    if constexpr (kPlaces.fifth > 0) code |= (block[kPlaces.fifth + k / 8] >> (k % 8) & 1) << 4;
    group.codes[k] = code - kOffset;
  }
}

// Scale and minimum of group j of a Q4_K or Q5_K block: 6 bits each, of the last four groups 4 bits
// at the end and 2 above the first four's.
void read_k_scales(const uint8_t* block, int64_t j, Group& group) {
  const uint8_t* s = block + 4;
  int scale = s[j % 4] & 63, minimum = s[4 + j % 4] & 63;
  if (j >= 4) {
    scale = (s[4 + j] & 15) | (s[j - 4] >> 6 << 4);
    minimum = (s[4 + j] >> 4) | (s[j] >> 6 << 4);
  }
  group.scale = read_f16(block) * static_cast<float>(scale);
  group.minimum = read_f16(block + 2) * static_cast<float>(minimum);
}

void read_q4_k(const uint8_t* block, int64_t j, Group& group) {
  read_k_scales(block, j, group);
  const uint8_t* codes = block + 16 + j / 2 * 32;
  for (int64_t k = 0; k < 32; ++k) group.codes[k] = j % 2 == 0 ? codes[k] & 15 : codes[k] >> 4;
}

void read_q5_k(const uint8_t* block, int64_t j, Group& group) {
  read_k_scales(block, j, group);
  const uint8_t* codes = block + 48 + j / 2 * 32;
  for (int64_t k = 0; k < 32; ++k) {
    const int low = j % 2 == 0 ? codes[k] & 15 : codes[k] >> 4;
    group.codes[k] = low | ((block[16 + k] >> j & 1) << 4);
  }
}

// Halves of 128 columns: 64 bytes with the lower four bits of columns l and 64 + l, 32 bytes with
// the upper two bits of columns l, 32 + l, 64 + l and 96 + l.
void read_q6_k(const uint8_t* block, int64_t j, Group& group) {
  group.scale = read_f16(block + 208) * static_cast<float>(static_cast<int8_t>(block[192 + j]));
  const int64_t half = j / 8;
  for (int64_t i = 0; i < 16; ++i) {
    const int64_t k = j % 8 * 16 + i;
    const uint8_t low = block[64 * half + k % 64];
    const uint8_t high = block[128 + 32 * half + k % 32];
    group.codes[i] = ((k < 64 ? low & 15 : low >> 4) | ((high >> (k / 32 * 2) & 3) << 4)) - 32;
  }
}

// The group of row `row` that holds column k, its first.
void read_group(QuantType type, const char* w, int64_t w_stride, int64_t row, int64_t k,
                Group& group) {
  const QuantFormat format = quant_format(type);
  const auto* bytes = reinterpret_cast<const uint8_t*>(w);
  const int64_t lane = row % kPanelWidth;
  const uint8_t* block = bytes + (format.packed ? row / kPanelWidth : row) * w_stride +
                         k / format.block * format.block_bytes;
  const int64_t j = k % format.block / format.group;
  switch (type) {
    case QuantType::kInt8:
      return read_int8(block, lane, group);
    case QuantType::kInt4:
      return read_int4(block, lane, group);
    case QuantType::kQ8_0:
      return read_q8_0(block, group);
    case QuantType::kQ4_0:
      return read_small<QuantType::kQ4_0>(block, group);
    case QuantType::kQ4_1:
      return read_small<QuantType::kQ4_1>(block, group);
    case QuantType::kQ5_0:
      return read_small<QuantType::kQ5_0>(block, group);
    case QuantType::kQ5_1:
      return read_small<QuantType::kQ5_1>(block, group);
    case QuantType::kQ4_K:
      return read_q4_k(block, j, group);
    case QuantType::kQ5_K:
      return read_q5_k(block, j, group);
    case QuantType::kQ6_K:
      return read_q6_k(block, j, group);
  }
}

// sums[i] over [k_begin, k_end) for rows first .. first + count - 1 and one column.
void segment_sums(const QuantRange& args, int64_t column, int64_t first, int64_t count,
                  int64_t k_begin, int64_t k_end, float* sums) {
  const QuantFormat format = quant_format(args.type);
  std::fill_n(sums, count, 0.0f);
  Group group;
  for (int64_t k0 = k_begin; k0 < k_end; k0 += format.group) {
    read_group(args.type, args.w, args.w_stride, column, k0, group);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t row = args.row(first + i);
      const int8_t* x = args.x + row * args.x_stride + k0;
      const int64_t tile = row * args.x_tile_stride + k0 / format.group;
      int32_t sum = 0;
      for (int64_t k = 0; k < format.group; ++k) sum += x[k] * group.codes[k];
      const float x_scale = args.x_scales[tile];
      sums[i] = std::fma(static_cast<float>(sum), x_scale * group.scale, sums[i]);
      if (format.has_minimum) {
        const auto x_sum = static_cast<float>(args.x_sums[tile]);
        sums[i] = std::fma(x_sum, -(x_scale * group.minimum), sums[i]);
      }
    }
  }
}

}  // namespace

void quant_range(const QuantRange& args) {
  const int64_t segment = args.k / args.n_segments;
  float sums[kMaxSegments][kRowChunk];
  for (int64_t first = 0; first < args.n_rows; first += kRowChunk) {
    const int64_t count = std::min(kRowChunk, args.n_rows - first);
    for (int64_t n = args.n_begin; n < args.n_end; ++n) {
      for (int s = 0; s < args.n_segments; ++s) {
        segment_sums(args, n, first, count, s * segment, (s + 1) * segment, sums[s]);
      }
      for (int64_t i = 0; i < count; ++i) {
        float& y = args.y[(first + i) * args.ldy + n - args.n_begin];
        if (args.n_segments == 1) {
          y = sums[0][i];
        } else {
          y = ((sums[0][i] + sums[1][i]) + (sums[2][i] + sums[3][i])) +
              ((sums[4][i] + sums[5][i]) + (sums[6][i] + sums[7][i]));
        }
      }
    }
  }
}

void prepare_int8(const PrepareInt8& args) {
  for (int64_t k0 = 0; k0 < args.k_padded; k0 += args.tile) {
    const int64_t end = std::min(args.k, k0 + args.tile);
    // As integers, magnitudes are in order, and what is not finite is above all others.
    uint32_t amax = 0;
    for (int64_t k = k0; k < end; ++k) {
      amax = std::max(amax, std::bit_cast<uint32_t>(args.x[k]) & 0x7fffffffu);
    }
    const bool finite = amax < 0x7f800000u;
    const float scale =
        finite ? std::bit_cast<float>(amax) / 127.0f : std::numeric_limits<float>::quiet_NaN();
    int32_t sum = 0;
    for (int64_t k = k0; k < k0 + args.tile; ++k) {
      float code = 0.0f;
      if (k < end && scale > 0.0f) {
        code = std::clamp(std::nearbyint(args.x[k] / scale), -127.0f, 127.0f);
      }
      args.codes[k] = static_cast<int8_t>(code);
      sum += args.codes[k];
    }
    args.scales[k0 / args.tile] = scale;
    args.sums[k0 / args.tile] = sum;
  }
}

void quant_weight_row(QuantType type, const char* w, int64_t w_stride, int64_t row, int64_t k_begin,
                      int64_t k_end, float* out) {
  const QuantFormat format = quant_format(type);
  Group group;
  for (int64_t k0 = k_begin / format.group * format.group; k0 < k_end; k0 += format.group) {
    read_group(type, w, w_stride, row, k0, group);
    const int64_t end = std::min(k_end, k0 + format.group);
    for (int64_t k = std::max(k_begin, k0); k < end; ++k) {
      const float product = group.scale * static_cast<float>(group.codes[k - k0]);
      out[k - k_begin] = format.has_minimum ? product - group.minimum : product;
    }
  }
}

}  // namespace fathom::ref
