// The limits of AMX: products of tiles in registers. The rest is AVX-512's.
#include "kernels/machine_limits_args.h"
#include "kernels/x86/tiles_amx.h"

namespace fathom::amx {

namespace {
constexpr int64_t kOperations = 4 * 2 * 16 * 16;  // of a step of four products, for one k
// A step takes as long as some dozens of vector instructions.
constexpr int64_t kStepsPerProduct = 8;

float one_sum() {
  alignas(64) float sums[256];
  _tile_stored(0, sums, 64);
  return sums[0];
}
// All registers, of which C alone is written after.
void zero_tiles() {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
}
}  // namespace

int64_t limit_bf16(int64_t steps, float* sink) {
  const Tiles tiles(16);
  zero_tiles();
  steps /= kStepsPerProduct;
  for (int64_t i = 0; i < steps; ++i) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  *sink += one_sum();
  return steps * kOperations * 32;
}

int64_t limit_int8(int64_t steps, float* sink) {
  const Tiles tiles(16);
  zero_tiles();
  steps /= kStepsPerProduct;
  for (int64_t i = 0; i < steps; ++i) {
    _tile_dpbsud(0, 4, 6);
    _tile_dpbsud(1, 4, 7);
    _tile_dpbsud(2, 5, 6);
    _tile_dpbsud(3, 5, 7);
  }
  *sink += one_sum();
  return steps * kOperations * 64;
}

}  // namespace fathom::amx
