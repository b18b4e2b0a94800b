// Integer weights as lines of a panel (quant_panel.h) in plain loops, lane by lane, for instruction
// sets without front ends of their own.
#pragma once

namespace fathom::FATHOM_ISA_NAMESPACE {
namespace {

FATHOM_INLINE void prefetch_bytes(const uint8_t* p, int64_t bytes) {
  for (int64_t line = 0; line < bytes; line += 64)
    prefetch(reinterpret_cast<const char*>(p) + line);
}

// 16 values of F16 that lie `step` bytes apart in every lane's own place.
template <class At>
FATHOM_INLINE void widen_halves(const At& at, float* out) {
  uint16_t halves[kPanelWidth];
  for (int64_t l = 0; l < kPanelWidth; ++l) __builtin_memcpy(&halves[l], at(l), 2);
  for (int64_t l = 0; l < kPanelWidth; l += kLanes)
    store(out + l, load_f16(halves + l, first_lanes(kLanes)));
}

// Codes of one lane, `count` of them, into the lines.
FATHOM_INLINE void spread(const uint8_t* codes, int64_t count, int64_t lane, uint8_t (*lines)[64]) {
  for (int64_t k = 0; k < count; k += 4) __builtin_memcpy(lines[k / 4] + 4 * lane, codes + k, 4);
}

struct UnpackInt8 {
  static constexpr QuantType kType = QuantType::kInt8;
  FATHOM_INLINE QuantView unpack(const QuantPanel& panel, int64_t index, int64_t, QuantScratch&) {
    constexpr int64_t kBytes = quant_format(kType).block_bytes;
    const uint8_t* block = panel.first + index * kBytes;
    prefetch_bytes(block + panel.ahead, kBytes);
    return {block + 64, reinterpret_cast<const float*>(block), nullptr};
  }
};

struct UnpackInt4 {
  static constexpr QuantType kType = QuantType::kInt4;
  FATHOM_INLINE QuantView unpack(const QuantPanel& panel, int64_t index, int64_t columns,
                                 QuantScratch& out) {
    constexpr int64_t kBytes = quant_format(kType).block_bytes;
    for (int64_t b = 0; b * 64 < columns; ++b) {
      const uint8_t* block = panel.first + (2 * index + b) * kBytes;
      prefetch_bytes(block + panel.ahead, kBytes);
      widen_halves([&](int64_t l) { return block + 2 * l; }, out.scales[b]);
      widen_halves([&](int64_t l) { return block + 32 + 2 * l; }, out.minima[b]);
      for (int64_t j = 0; j < 8; ++j) {
        const uint8_t* line = block + 64 + 64 * j;
        for (int64_t i = 0; i < 64; ++i) {
          out.lines[16 * b + j][i] = line[i] & 15;
          out.lines[16 * b + 8 + j][i] = line[i] >> 4;
        }
      }
    }
    return out.view();
  }
};

struct UnpackQ8_0 {
  static constexpr QuantType kType = QuantType::kQ8_0;
  FATHOM_INLINE QuantView unpack(const QuantPanel& panel, int64_t index, int64_t columns,
                                 QuantScratch& out) {
    for (int64_t b = 0; b * 32 < columns; ++b) {
      const uint8_t* first = panel.first + (index * 4 + b) * 34;
      widen_halves([&](int64_t l) { return first + panel.offsets[l]; }, out.scales[b]);
      for (int64_t l = 0; l < kPanelWidth; ++l) {
        const uint8_t* block = first + panel.offsets[l];
        prefetch_bytes(block + panel.ahead, 1);
        uint8_t codes[32];
        for (int64_t k = 0; k < 32; ++k) codes[k] = block[2 + k] ^ 0x80;
        spread(codes, 32, l, out.lines + 8 * b);
      }
    }
    return out.view();
  }
};

// Q4_0 and its kin.
template <QuantType kSmallType>
struct UnpackSmall {
  static constexpr QuantType kType = kSmallType;
  FATHOM_INLINE QuantView unpack(const QuantPanel& panel, int64_t index, int64_t columns,
                                 QuantScratch& out) {
    constexpr SmallBlock kPlaces = small_block(kType);
    for (int64_t b = 0; b * 32 < columns; ++b) {
      const uint8_t* first = panel.first + (index * 4 + b) * quant_format(kType).block_bytes;
      widen_halves([&](int64_t l) { return first + panel.offsets[l]; }, out.scales[b]);
      if constexpr (quant_format(kType).has_minimum) {  // stored to be added
        widen_halves([&](int64_t l) { return first + panel.offsets[l] + 2; }, out.minima[b]);
        for (float& minimum : out.minima[b]) minimum = -minimum;
      }
      for (int64_t l = 0; l < kPanelWidth; ++l) {
        const uint8_t* block = first + panel.offsets[l];
        prefetch_bytes(block + panel.ahead, 1);
        uint8_t codes[32];
        for (int64_t k = 0; k < 16; ++k) {
          codes[k] = block[kPlaces.codes + k] & 15;
          codes[16 + k] = block[kPlaces.codes + k] >> 4;
        }
        for (int64_t k = 0; kPlaces.fifth > 0 && k < 32; ++k)
          codes[k] |= static_cast<uint8_t>((block[kPlaces.fifth + k / 8] >> (k % 8) & 1) << 4);
        spread(codes, 32, l, out.lines + 8 * b);
      }
    }
    return out.view();
  }
};

// Scales and minima of groups 4 half .. 4 half + 3 of blocks of 256 that start at first.
FATHOM_INLINE void unpack_k_scales(const QuantPanel& panel, const uint8_t* first, int64_t half,
                                   QuantScratch& out) {
  float d[kPanelWidth], m[kPanelWidth];
  widen_halves([&](int64_t l) { return first + panel.offsets[l]; }, d);
  widen_halves([&](int64_t l) { return first + panel.offsets[l] + 2; }, m);
  for (int64_t l = 0; l < kPanelWidth; ++l) {
    const uint8_t* s = first + panel.offsets[l] + 4;
    for (int64_t j = 0; j < 4; ++j) {
      const int low_scale = s[j] & 63, low_minimum = s[4 + j] & 63;
      const int high_scale = (s[8 + j] & 15) | ((s[j] >> 2) & 0x30);
      const int high_minimum = (s[8 + j] >> 4) | ((s[4 + j] >> 2) & 0x30);
      out.scales[j][l] = d[l] * static_cast<float>(half == 0 ? low_scale : high_scale);
      out.minima[j][l] = m[l] * static_cast<float>(half == 0 ? low_minimum : high_minimum);
    }
  }
}

struct UnpackQ4K {
  static constexpr QuantType kType = QuantType::kQ4_K;
  FATHOM_INLINE QuantView unpack(const QuantPanel& panel, int64_t index, int64_t,
                                 QuantScratch& out) {
    const uint8_t* first = panel.first + index / 2 * 144;
    const int64_t half = index % 2;
    unpack_k_scales(panel, first, half, out);
    for (int64_t l = 0; l < kPanelWidth; ++l) {
      const uint8_t* p = first + panel.offsets[l] + 16 + 64 * half;
      prefetch_bytes(p + panel.ahead, 64);
      uint8_t codes[kQuantChunk];
      for (int64_t pair = 0; pair < 2; ++pair) {
        for (int64_t k = 0; k < 32; ++k) {
          codes[64 * pair + k] = p[32 * pair + k] & 15;
          codes[64 * pair + 32 + k] = p[32 * pair + k] >> 4;
        }
      }
      spread(codes, kQuantChunk, l, out.lines);
    }
    return out.view();
  }
};

struct UnpackQ5K {
  static constexpr QuantType kType = QuantType::kQ5_K;
  FATHOM_INLINE QuantView unpack(const QuantPanel& panel, int64_t index, int64_t,
                                 QuantScratch& out) {
    const uint8_t* first = panel.first + index / 2 * 176;
    const int64_t half = index % 2;
    unpack_k_scales(panel, first, half, out);
    for (int64_t l = 0; l < kPanelWidth; ++l) {
      const uint8_t* upper = first + panel.offsets[l] + 16;
      const uint8_t* p = upper + 32 + 64 * half;
      prefetch_bytes(p + panel.ahead, 64);
      uint8_t codes[kQuantChunk];
      for (int64_t pair = 0; pair < 2; ++pair) {
        for (int64_t k = 0; k < 32; ++k) {
          const int bits = upper[k] >> (4 * half + 2 * pair);
          codes[64 * pair + k] = static_cast<uint8_t>((p[32 * pair + k] & 15) | ((bits & 1) << 4));
          codes[64 * pair + 32 + k] =
              static_cast<uint8_t>((p[32 * pair + k] >> 4) | ((bits & 2) << 3));
        }
      }
      spread(codes, kQuantChunk, l, out.lines);
    }
    return out.view();
  }
};

struct UnpackQ6K {
  static constexpr QuantType kType = QuantType::kQ6_K;
  FATHOM_INLINE QuantView unpack(const QuantPanel& panel, int64_t index, int64_t,
                                 QuantScratch& out) {
    const uint8_t* first = panel.first + index / 2 * 210;
    const int64_t half = index % 2;
    float d[kPanelWidth];
    widen_halves([&](int64_t l) { return first + panel.offsets[l] + 208; }, d);
    for (int64_t l = 0; l < kPanelWidth; ++l) {
      const uint8_t* block = first + panel.offsets[l];
      prefetch_bytes(block + 105 * half + panel.ahead, 105);
      for (int64_t j = 0; j < 8; ++j) {
        const auto scale = static_cast<int8_t>(block[192 + 8 * half + j]);
        out.scales[j][l] = d[l] * static_cast<float>(scale);
      }
      const uint8_t* low = block + 64 * half;
      const uint8_t* upper = block + 128 + 32 * half;
      uint8_t codes[kQuantChunk];
      for (int64_t k = 0; k < 32; ++k) {
        const int u = upper[k];
        codes[k] = static_cast<uint8_t>((low[k] & 15) | ((u & 3) << 4));
        codes[32 + k] = static_cast<uint8_t>((low[32 + k] & 15) | ((u & 12) << 2));
        codes[64 + k] = static_cast<uint8_t>((low[k] >> 4) | (u & 48));
        codes[96 + k] = static_cast<uint8_t>((low[32 + k] >> 4) | ((u & 192) >> 2));
      }
      spread(codes, kQuantChunk, l, out.lines);
    }
    return out.view();
  }
};

}  // namespace
}  // namespace fathom::FATHOM_ISA_NAMESPACE

#include "kernels/simd/quant_unpackers.h"
