// Products of integer weights in AMX tiles: one chunk of k of unpacked panels times up to 32 rows,
// exact sums of a group in the tiles, added in F32 to sums in memory while the tiles multiply on.
#pragma once

#include "kernels/x86/quant_unpack_avx512.h"
#include "kernels/x86/tiles_amx.h"

namespace fathom::amx {

namespace {

using avx512::F32;
using avx512::fma;
using avx512::fnma;
using avx512::load;
using avx512::mul;
using avx512::set1;
using avx512::store;
using avx512::zero;

constexpr int64_t kChunk = 512;    // k at a time: 32 rows of it are 16 KB
constexpr int64_t kColumns = 128;  // whose sums are kept
constexpr int64_t kPanels = kColumns / kPanelWidth;
constexpr int64_t kPairs = kPanels / 2;
constexpr int64_t kRows = 512;
constexpr int64_t kTileRows = 32;
constexpr int64_t kGroupsMax = kChunk / kMinQuantGroup;
// Sums that wait in a tree of eight segments.
constexpr int kLevels = 4;

struct Buffers {
  alignas(64) int8_t codes[kPanels][kChunk / 4][64];
  alignas(64) float scales[kPanels][kGroupsMax][16];
  alignas(64) float minima[kPanels][kGroupsMax][16];
  // Rows that do not lie one after another, or fewer than a tile has.
  alignas(64) int8_t rows[kTileRows][kChunk + 64];
  alignas(64) float x_scales[kGroupsMax][kTileRows];
  alignas(64) float x_sums[kGroupsMax][kTileRows];
  alignas(64) float sums[kLevels][kRows / kTileRows][kPairs][kTileRows][32];
  alignas(64) uint8_t gap[256];
  alignas(64) int32_t products[kTileRows][32];
};

struct TileRowsOfX {
  const int8_t* codes;
  int64_t stride;
};

// One group of k of a pair of panels, times up to 32 rows.
struct Step {
  const int8_t* x;  // of the group
  int64_t x_stride;
  const int8_t* w[2];
  const float* scales[2];
  const float* minima[2];
  const float* x_scales;  // [32]
  const float* x_sums;
  float (*sums)[32];
};

// Products of rows [kFirst, kFirst + kCount) go to the sums of their step.
template <bool kMinimum, int kFirst, int kCount>
FATHOM_INLINE void add_rows(const Buffers& buffers, const Step& step) {
  const F32 scale[2] = {load(step.scales[0]), load(step.scales[1])};
  F32 minimum[2] = {zero(), zero()};
  if constexpr (kMinimum) {
    minimum[0] = load(step.minima[0]);
    minimum[1] = load(step.minima[1]);
  }
  FATHOM_UNROLL for (int r = kFirst; r < kFirst + kCount; ++r) {
    const F32 x_scale = set1(step.x_scales[r]);
    FATHOM_UNROLL for (int c = 0; c < 2; ++c) {
      const F32 product = _mm512_cvtepi32_ps(_mm512_load_si512(buffers.products[r] + 16 * c));
      float* at = step.sums[r] + 16 * c;
      F32 sum = fma(product, mul(x_scale, scale[c]), load(at));
      if constexpr (kMinimum) sum = fnma(set1(step.x_sums[r]), mul(x_scale, minimum[c]), sum);
      store(at, sum);
    }
  }
  memory_is_read();
}

// Tiles 4 (and 5, a group of 128) = 16 rows of x; 6 (and 7) = a panel. A group of up to 64 keeps
// both halves of the rows in 4 and 5, both panels in 6 and 7.
template <int kGroup, int kHalf>
FATHOM_INLINE void load_x(const Step& step) {
  const int8_t* x = step.x + 16 * kHalf * step.x_stride;
  if constexpr (kGroup > 64) {
    _tile_loadd(4, x, step.x_stride);
    _tile_loadd(5, x + 64, step.x_stride);
  } else if constexpr (kHalf == 0) {
    _tile_loadd(4, x, step.x_stride);
  } else {
    _tile_loadd(5, x, step.x_stride);
  }
}
template <int kGroup, int kPanel>
FATHOM_INLINE void load_w(const Step& step) {
  if constexpr (kGroup > 64) {
    _tile_loadd(6, step.w[kPanel], 64);
    _tile_loadd(7, step.w[kPanel] + 1024, 64);
  } else if constexpr (kPanel == 0) {
    _tile_loadd(6, step.w[0], 64);
  } else {
    _tile_loadd(7, step.w[1], 64);
  }
}

// Which parts of a step's work there are: not the first step's stores, not the last one's products.
struct Parts {
  bool multiply, store, lower, upper;
};

// The products of `now`, tile after tile; before a tile starts anew its sums of the step before
// (`last`) are stored, and behind its products the sums in memory go to F32: of rows 0-15 those of
// `last`, of rows 16-31 those of the step before that (`older`). A tile is multiplied in 16 cycles,
// in which the other unit for vectors does 16 operations; a group of 128 needs 24, so that is the
// bound (measured on Sapphire Rapids: 37.8 ns of products alone, 55.8 ns with the sums).
template <int kGroup, bool kMinimum, Parts kParts>
FATHOM_INLINE void take_step(Buffers& buffers, const Step& now, const Step& last,
                             const Step& older) {
  constexpr bool kDeep = kGroup > 64;
  auto& products = buffers.products;
  if constexpr (kParts.store) _tile_stored(0, products[0], 128);
  if constexpr (kParts.multiply) {
    load_x<kGroup, 0>(now);
    load_w<kGroup, 0>(now);
    _tile_zero(0);
    _tile_dpbssd(0, 4, 6);
  }
  if constexpr (kParts.upper) add_rows<kMinimum, 16, 4>(buffers, older);
  if constexpr (kParts.multiply && kDeep) _tile_dpbssd(0, 5, 7);
  if constexpr (kParts.upper) add_rows<kMinimum, 20, 4>(buffers, older);

  if constexpr (kParts.store) _tile_stored(1, products[0] + 16, 128);
  if constexpr (kParts.multiply) {
    load_w<kGroup, 1>(now);
    _tile_zero(1);
    if constexpr (kDeep) _tile_dpbssd(1, 4, 6);
    if constexpr (!kDeep) _tile_dpbssd(1, 4, 7);
  }
  if constexpr (kParts.upper) add_rows<kMinimum, 24, 4>(buffers, older);
  if constexpr (kParts.multiply && kDeep) _tile_dpbssd(1, 5, 7);
  if constexpr (kParts.upper) add_rows<kMinimum, 28, 4>(buffers, older);

  if constexpr (kParts.store) _tile_stored(3, products[16] + 16, 128);
  if constexpr (kParts.multiply) {
    load_x<kGroup, 1>(now);
    _tile_zero(3);
    if constexpr (kDeep) _tile_dpbssd(3, 4, 6);
    if constexpr (!kDeep) _tile_dpbssd(3, 5, 7);
  }
  if constexpr (kParts.lower) add_rows<kMinimum, 0, 4>(buffers, last);
  if constexpr (kParts.multiply && kDeep) _tile_dpbssd(3, 5, 7);
  if constexpr (kParts.lower) add_rows<kMinimum, 4, 4>(buffers, last);

  if constexpr (kParts.store) _tile_stored(2, products[16], 128);
  if constexpr (kParts.multiply) {
    if constexpr (kDeep) load_w<kGroup, 0>(now);
    _tile_zero(2);
    if constexpr (kDeep) _tile_dpbssd(2, 4, 6);
    if constexpr (!kDeep) _tile_dpbssd(2, 5, 6);
  }
  if constexpr (kParts.lower) add_rows<kMinimum, 8, 4>(buffers, last);
  if constexpr (kParts.multiply && kDeep) _tile_dpbssd(2, 5, 7);
  if constexpr (kParts.lower) add_rows<kMinimum, 12, 4>(buffers, last);
}

// Up to 16 rows, for which the weights come from memory: one group after another.
template <int kGroup, bool kMinimum>
FATHOM_INLINE void take_half_step(Buffers& buffers, const Step& now) {
  load_x<kGroup, 0>(now);
  load_w<kGroup, 0>(now);
  _tile_zero(0);
  _tile_zero(1);
  _tile_dpbssd(0, 4, 6);
  if constexpr (kGroup > 64) _tile_dpbssd(0, 5, 7);
  load_w<kGroup, 1>(now);
  if constexpr (kGroup > 64) {
    _tile_dpbssd(1, 4, 6);
    _tile_dpbssd(1, 5, 7);
  } else {
    _tile_dpbssd(1, 4, 7);
  }
  _tile_stored(0, buffers.products[0], 128);
  _tile_stored(1, buffers.products[0] + 16, 128);
  memory_is_read();
  add_rows<kMinimum, 0, 16>(buffers, now);
}

// One chunk of k for a tile of rows and all pairs of panels; sums [pair][row][32].
template <int kGroup, bool kMinimum, bool kTwo>
[[gnu::noinline]] void add_tile(Buffers& buffers, const TileRowsOfX& x, int64_t n_panels,
                                int64_t n_groups, float (*sums)[kTileRows][32]) {
  const auto step_at = [&](int64_t i) __attribute__((always_inline)) {
    const int64_t p = i / n_groups * 2, g = i % n_groups;
    Step step;
    step.x = x.codes + g * kGroup;
    step.x_stride = x.stride;
    step.x_scales = buffers.x_scales[g];
    step.x_sums = buffers.x_sums[g];
    for (int c = 0; c < 2; ++c) {
      step.w[c] = buffers.codes[p + c][0] + g * kGroup * kPanelWidth;
      step.scales[c] = buffers.scales[p + c][g];
      step.minima[c] = buffers.minima[p + c][g];
    }
    step.sums = sums[p / 2];
    return step;
  };
  const int64_t n_steps = (n_panels + 1) / 2 * n_groups;
  memory_is_read();
  if constexpr (!kTwo) {
    for (int64_t i = 0; i < n_steps; ++i) take_half_step<kGroup, kMinimum>(buffers, step_at(i));
  } else {
    constexpr Parts kBegin{true, false, false, false}, kSecond{true, true, true, false};
    constexpr Parts kMiddle{true, true, true, true}, kEnd{false, true, true, true};
    constexpr Parts kOnlyEnd{false, true, true, false};
    Step older = step_at(0), last = older;
    take_step<kGroup, kMinimum, kBegin>(buffers, last, last, last);
    if (n_steps > 1) {
      const Step now = step_at(1);
      take_step<kGroup, kMinimum, kSecond>(buffers, now, last, last);
      last = now;
    }
    for (int64_t i = 2; i < n_steps; ++i) {
      const Step now = step_at(i);
      take_step<kGroup, kMinimum, kMiddle>(buffers, now, last, older);
      older = last;
      last = now;
    }
    if (n_steps > 1) {
      take_step<kGroup, kMinimum, kEnd>(buffers, last, last, older);
    } else {
      take_step<kGroup, kMinimum, kOnlyEnd>(buffers, last, last, last);
    }
    memory_is_read();
    add_rows<kMinimum, 16, 16>(buffers, last);
  }
}

}  // namespace
}  // namespace fathom::amx
