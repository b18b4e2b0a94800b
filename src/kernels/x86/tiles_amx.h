// The eight tile registers, configured for one shape: C += A B with A [16 rows of weights, 32 k],
// B [16 pairs of k, width rows of the input], C [16, width] F32. As measured (Sapphire Rapids, one
// core): a product takes 4.9 ns whatever its shape, a load 2.3 ns from a line-aligned tile and 15
// ns from any other, a store 4.5 ns.
//
// How a product adds (tiles_amx_test.cc holds it): the even and the odd k of the 32 each form a
// chain of F32 fma from zero, ascending; the two are added, and that is added to C. Ties to even,
// subnormals are zero.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/x86/vec_avx512.h"

namespace fathom::amx {
namespace {

// Registers: C 0..3 for [2 tiles of weights][2 tiles of rows], A 4..5, B 6..7.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t column_bytes[16] = {};
  uint8_t rows[16] = {};
};

// The intrinsics do not say which memory they read.
FATHOM_INLINE void memory_is_read() { asm volatile("" ::: "memory"); }

// To the compiler a local config is not memory that a barrier speaks of: it is handed over by name.
FATHOM_INLINE void load_tile_config(const TileConfig& config) {
  asm volatile("" ::"r"(&config) : "memory");
  _tile_loadconfig(&config);
}

// width: of B and C, in values; rows: of A and C.
inline void configure_tiles(int64_t width, int64_t rows) {
  TileConfig config;
  for (int t = 0; t < 8; ++t) {
    config.rows[t] = t < 6 ? static_cast<uint8_t>(rows) : uint8_t{16};
    config.column_bytes[t] = t == 4 || t == 5 ? uint16_t{64} : static_cast<uint16_t>(4 * width);
  }
  load_tile_config(config);
}

class Tiles {
 public:
  explicit Tiles(int64_t width, int64_t rows = 16) { configure_tiles(width, rows); }
  ~Tiles() { _tile_release(); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
};

// 16 rows of 16 pairs to a tile [16 pairs][width]; rows beyond n_rows are zero.
FATHOM_INLINE void transpose_tile(const uint16_t* const* rows, int64_t n_rows, int64_t k,
                                  int64_t width, uint16_t* out) {
  avx512::F32 lines[16];
  FATHOM_UNROLL for (int64_t r = 0; r < 16; ++r) {
    lines[r] =
        r < n_rows ? avx512::load(reinterpret_cast<const float*>(rows[r] + k)) : avx512::zero();
  }
  avx512::transpose_lanes(lines);
  auto* to = reinterpret_cast<float*>(out);
  if (width == 16) {
    FATHOM_UNROLL for (int p = 0; p < 16; ++p) avx512::store(to + p * 16, lines[p]);
  } else {
    const avx512::Mask mask = avx512::first_lanes(width);
    FATHOM_UNROLL for (int p = 0; p < 16; ++p) avx512::store(to + p * width, lines[p], mask);
  }
}

// k [k_begin, k_end) of up to 16 rows as tiles, multiples of 32.
inline void make_tiles(const uint16_t* const* rows, int64_t n_rows, int64_t k_begin, int64_t k_end,
                       int64_t width, uint16_t* out) {
  if (width == 1) {
    __builtin_memcpy(out, rows[0] + k_begin, static_cast<size_t>(k_end - k_begin) * 2);
    return;
  }
  for (int64_t k = k_begin; k < k_end; k += 32, out += 32 * width) {
    transpose_tile(rows, n_rows, k, width, out);
  }
}

}  // namespace
}  // namespace fathom::amx
