// The two halves of a linear layer on tiles: weights widened to a panel of BF16, and products of
// the panel with tiles of the input, promoted for E4M3. Included by linear_amx.cc, which says in
// which order.
#pragma once

#include "kernels/linear_args.h"
#include "kernels/x86/tiles_amx.h"
#include "kernels/x86/weights_avx512.h"

namespace fathom::amx {
namespace {

using avx512::F32;

constexpr int64_t kChunk = kTileChunk;  // k of a panel
constexpr int64_t kTileSums = 16 * 16;  // of one tile

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// ---- weights

struct PanelE4m3 {
  static constexpr int64_t kBytes = 1;
  static constexpr bool kPromote = true;
  // 64 values of a row, of which n are there, to two tiles.
  FATHOM_INLINE void widen(const char* p, int64_t n, uint16_t* out) {
    const __m512i codes =
        n >= 64 ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi8((uint64_t{1} << n) - 1, p);
    F32 lines[2];
    avx512::PairsE4m3::from_codes(codes, lines);
    _mm512_store_ps(out, lines[0]);
    _mm512_store_ps(out + 512, lines[1]);
  }
};

struct PanelBf16 {
  static constexpr int64_t kBytes = 2;
  static constexpr bool kPromote = false;
  FATHOM_INLINE void widen(const char* p, int64_t n, uint16_t* out) {
    for (int half = 0; half < 2; ++half, n -= 32) {
      const __m512i line = n >= 32 ? _mm512_loadu_si512(p + half * 64)
                           : n <= 0
                               ? _mm512_setzero_si512()
                               : _mm512_maskz_loadu_epi16((uint32_t{1} << n) - 1, p + half * 64);
      _mm512_store_si512(out + half * 512, line);
    }
  }
};

// 16 columns of y, or what is left of them up to the end of the range or of a block of scales.
struct ColumnTile {
  int64_t n = 0;
  int64_t count = 0;
  const float* scales = nullptr;  // of its row of blocks
};

// k [k0, k0 + count) of a tile of columns; what stands `ahead` bytes further is fetched.
template <class P>
void make_panel(const LinearRange& args, const ColumnTile& tile, int64_t k0, int64_t count,
                int64_t ahead, uint16_t* out) {
  for (int64_t r = 0; r < 16; ++r) {
    uint16_t* line = out + r * 32;
    if (r >= tile.count) {
      for (int64_t k = 0; k < count; k += 32)
        _mm512_store_si512(line + k * 16, _mm512_setzero_si512());
      continue;
    }
    const char* w = args.w + ((tile.n + r) * args.k + k0) * P::kBytes;
    const char* next = w + ahead;
    const int64_t there = args.k - k0;  // beyond are the zeros that pad k
    for (int64_t k = 0; k < count; k += 64) {
      FATHOM_UNROLL for (int64_t b = 0; b < P::kBytes; ++b)
          _mm_prefetch(next + k * P::kBytes + b * 64, _MM_HINT_T1);
      P::widen(w + k * P::kBytes, there > k ? there - k : 0, line + k * 16);
    }
  }
}

// ---- products

// NT tiles of columns by MT tiles of rows over one chunk of k.
struct TileProduct {
  const uint16_t* panel;  // [2][kChunk / 32][16][32]
  const uint16_t* x[2];   // tiles of each tile of rows at the chunk's first k
  int64_t x_row_bytes;
  int64_t n_steps;
  const float* w_scales[2];  // from the chunk's first block on
  const float* x_scales[2];  // [blocks, 16]
  float* sums[2][2];
  bool from_zero;
};

constexpr int64_t kPanelTile = kChunk / 32 * 512;  // values of the panel of one tile of columns

template <int NT, int MT>
FATHOM_INLINE void zero_sums() {
  _tile_zero(0);
  if constexpr (MT > 1) _tile_zero(1);
  if constexpr (NT > 1) _tile_zero(2);
  if constexpr (NT > 1 && MT > 1) _tile_zero(3);
}

template <int NT, int MT>
FATHOM_INLINE void load_sums(float* const (&from)[2][2]) {
  _tile_loadd(0, from[0][0], 64);
  if constexpr (MT > 1) _tile_loadd(1, from[0][1], 64);
  if constexpr (NT > 1) _tile_loadd(2, from[1][0], 64);
  if constexpr (NT > 1 && MT > 1) _tile_loadd(3, from[1][1], 64);
}

template <int NT, int MT>
FATHOM_INLINE void store_sums(float* const (&to)[2][2]) {
  _tile_stored(0, to[0][0], 64);
  if constexpr (MT > 1) _tile_stored(1, to[0][1], 64);
  if constexpr (NT > 1) _tile_stored(2, to[1][0], 64);
  if constexpr (NT > 1 && MT > 1) _tile_stored(3, to[1][1], 64);
}

// One step of 32 k.
template <int NT, int MT>
FATHOM_INLINE void multiply_step(const TileProduct& p, int64_t s) {
  const uint16_t* w = p.panel + s * 512;
  const int64_t x = s * p.x_row_bytes * 8;  // values: 16 pairs of x_row_bytes / 2
  _tile_loadd(4, w, 64);
  _tile_loadd(6, p.x[0] + x, p.x_row_bytes);
  _tile_dpbf16ps(0, 4, 6);
  if constexpr (MT > 1) {
    _tile_loadd(7, p.x[1] + x, p.x_row_bytes);
    _tile_dpbf16ps(1, 4, 7);
  }
  if constexpr (NT > 1) {
    _tile_loadd(5, w + kPanelTile, 64);
    _tile_dpbf16ps(2, 5, 6);
    if constexpr (MT > 1) _tile_dpbf16ps(3, 5, 7);
  }
}

// running = fma(block, s_x * s_w, running) for tile [i][j] of block b of the chunk.
FATHOM_INLINE void promote(const TileProduct& p, const float* block, int i, int j, int64_t b) {
  const F32 scale =
      avx512::mul(avx512::load(p.x_scales[j] + b * 16), avx512::set1(p.w_scales[i][b]));
  const float* from = block + (2 * i + j) * kTileSums;
  float* running = p.sums[i][j];
  if (p.from_zero && b == 0) {
    FATHOM_UNROLL for (int r = 0; r < 16; ++r) avx512::store(
        running + r * 16, avx512::fma(avx512::load(from + r * 16), scale, avx512::zero()));
  } else {
    FATHOM_UNROLL for (int r = 0; r < 16; ++r) avx512::store(
        running + r * 16,
        avx512::fma(avx512::load(from + r * 16), scale, avx512::load(running + r * 16)));
  }
}

template <int NT, int MT>
[[gnu::noinline]] void multiply_plain(const TileProduct& p) {
  memory_is_read();
  if (p.from_zero) {
    zero_sums<NT, MT>();
  } else {
    load_sums<NT, MT>(p.sums);
  }
  for (int64_t s = 0; s < p.n_steps; ++s) multiply_step<NT, MT>(p, s);
  store_sums<NT, MT>(p.sums);
}

// Blocks of 128: while the tiles multiply one, the vectors promote the one before, a tile a step.
template <int NT, int MT>
[[gnu::noinline]] void multiply_promoted(const TileProduct& p, float* scratch) {
  memory_is_read();
  const int64_t n_blocks = p.n_steps / 4;
  for (int64_t b = 0; b <= n_blocks; ++b) {
    float* block = scratch + b % 2 * 4 * kTileSums;
    const float* before = scratch + (b + 1) % 2 * 4 * kTileSums;
    if (b < n_blocks) zero_sums<NT, MT>();
    FATHOM_UNROLL for (int s = 0; s < 4; ++s) {
      if (b < n_blocks) multiply_step<NT, MT>(p, 4 * b + s);
      if (b > 0 && s / 2 < NT && s % 2 < MT) promote(p, before, s / 2, s % 2, b - 1);
    }
    if (b == n_blocks) return;
    float* const to[2][2] = {{block, block + kTileSums},
                             {block + 2 * kTileSums, block + 3 * kTileSums}};
    store_sums<NT, MT>(to);
  }
}

template <bool kPromote, int NT, int MT>
void multiply(const TileProduct& p, float* scratch) {
  if constexpr (kPromote) {
    multiply_promoted<NT, MT>(p, scratch);
  } else {
    multiply_plain<NT, MT>(p);
  }
}

template <bool kPromote>
void multiply_any(const TileProduct& p, int64_t n_tiles, int64_t m_tiles, float* block) {
  if (n_tiles == 2 && m_tiles == 2) return multiply<kPromote, 2, 2>(p, block);
  if (n_tiles == 2) return multiply<kPromote, 2, 1>(p, block);
  if (m_tiles == 2) return multiply<kPromote, 1, 2>(p, block);
  multiply<kPromote, 1, 1>(p, block);
}

}  // namespace
}  // namespace fathom::amx
