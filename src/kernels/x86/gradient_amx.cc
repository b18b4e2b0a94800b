// Sums of outer products on tiles; everything else of the pass back is that of AVX-512. Operands
// are packed as BF16: a left tile is [16 columns][32 t], a right one [16 pairs of t][16
// columns][2], tiles of a column group one after another, t padded with zeros to whole tiles. A
// block's sum is what TDPBF16PS makes of its tiles, ascending from zero (tiles_amx.h says how one
// adds).
#include "kernels/gradient_table.h"
#include "kernels/x86/gradient_pairs_avx512.h"
#include "kernels/x86/tiles_amx.h"
#include "kernels/x86/weights_avx512.h"
// The body is written against the names above.
#include "kernels/simd/gradient_body.h"

namespace fathom::amx {
namespace {

using avx512::F32;
using avx512::Mask;

constexpr int64_t kTileT = 32;
constexpr int64_t kTileColumns = 16;
constexpr int64_t kTileValues = kTileT * kTileColumns;

int64_t tiles_of(int64_t n_t) { return (n_t + kTileT - 1) / kTileT; }

template <bool kLeft>
void pack(const OuterPack& args) {
  auto* out = static_cast<float*>(args.out);
  for (int64_t column = 0; column < args.n; column += kTileColumns) {
    for (int64_t t = 0; t < args.n_t; t += kTileT) {
      F32 lines[16];
      FATHOM_UNROLL for (int p = 0; p < 16; ++p) lines[p] =
          avx512::pair_rows(args, t + 2 * p, column);
      if constexpr (kLeft) avx512::transpose_lanes(lines);
      FATHOM_UNROLL for (int p = 0; p < 16; ++p) avx512::store(out + p * 16, lines[p]);
      out += 256;
    }
  }
}

// A block's sums [16, 16] into the result.
inline void finish(const OuterProduct& args, const float* block, int64_t i0, int64_t j0) {
  const int64_t rows = args.m_end - i0 < 16 ? args.m_end - i0 : 16;
  const Mask m = avx512::first_lanes(args.n_end - j0);
  float* c = args.c + (i0 - args.m_begin) * args.ldc + (j0 - args.n_begin);
  if (args.left_scales == nullptr) {
    for (int64_t i = 0; i < rows; ++i, c += args.ldc) {
      const F32 sum = avx512::load(block + i * 16);
      avx512::store(c, args.add ? avx512::add(avx512::load(c, m), sum) : sum, m);
    }
    return;
  }
  const F32 right = avx512::load(args.right_scales + j0, m);
  for (int64_t i = 0; i < rows; ++i, c += args.ldc) {
    const F32 before = args.add ? avx512::load(c, m) : avx512::zero();
    const F32 scale = avx512::mul(avx512::set1(args.left_scales[i0 + i]), right);
    avx512::store(c, avx512::fma(avx512::load(block + i * 16), scale, before), m);
  }
}

void multiply(const OuterProduct& args) {
  const int64_t n_tiles = tiles_of(args.n_t);
  const int64_t group = n_tiles * kTileValues;  // values of sixteen columns
  const auto* left = static_cast<const uint16_t*>(args.left);
  const auto* right = static_cast<const uint16_t*>(args.right);
  const Tiles tiles(16);
  alignas(64) float block[4 * 256];
  for (int64_t j = args.n_begin; j < args.n_end; j += 32) {
    const uint16_t* const b0 = right + j / 16 * group;
    const uint16_t* const b1 = j + 16 < args.n_end ? b0 + group : b0;
    for (int64_t i = args.m_begin; i < args.m_end; i += 32) {
      const uint16_t* const a0 = left + i / 16 * group;
      const uint16_t* const a1 = i + 16 < args.m_end ? a0 + group : a0;
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
      for (int64_t t = 0; t < n_tiles; ++t) {
        _tile_loadd(4, a0 + t * kTileValues, 64);
        _tile_loadd(5, a1 + t * kTileValues, 64);
        _tile_loadd(6, b0 + t * kTileValues, 64);
        _tile_loadd(7, b1 + t * kTileValues, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
      }
      _tile_stored(0, block, 64);
      _tile_stored(1, block + 256, 64);
      _tile_stored(2, block + 512, 64);
      _tile_stored(3, block + 768, 64);
      memory_is_read();
      finish(args, block, i, j);
      if (b1 != b0) finish(args, block + 256, i, j + 16);
      if (a1 != a0) finish(args, block + 512, i + 16, j);
      if (a1 != a0 && b1 != b0) finish(args, block + 768, i + 16, j + 16);
    }
  }
}

constexpr OuterKernels kOuter = {pack<true>, pack<false>, multiply};

constexpr GradientTable table() {
  GradientTable out = avx512::kTable;
  out.outer_bf16 = kOuter;
  return out;
}

}  // namespace

const GradientTable kGradient = table();

}  // namespace fathom::amx
