// Rows of an operand of outer products as pairs of BF16 (gradient_avx512.cc, gradient_amx.cc).
#pragma once

#include "kernels/gradient_table.h"
#include "kernels/x86/vec_avx512.h"

namespace fathom::avx512 {

// Sixteen columns of rows t and t + 1, row t in the low halves; rows beyond n_t are zero. The
// conversion takes subnormals for zero, as the products do.
FATHOM_INLINE F32 pair_rows(const OuterPack& args, int64_t t, int64_t column) {
  const __m512i in_pairs =
      _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                       21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const Mask m = first_lanes(args.n - column);
  const float* at = args.x + t * args.ldx + column;
  const F32 even = t < args.n_t ? load(at, m) : zero();
  const F32 odd = t + 1 < args.n_t ? load(at + args.ldx, m) : zero();
  const __m512i both = (__m512i)_mm512_cvtne2ps_pbh(odd, even);
  return _mm512_castsi512_ps(_mm512_permutexvar_epi16(in_pairs, both));
}

}  // namespace fathom::avx512
