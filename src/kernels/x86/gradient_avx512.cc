// The kernels of the pass back for AVX512, and for AVX512 where VDPBF16PS is the faster product:
// there outer products of BF16 operands take two rows at a step, packed as [pairs of
// rows][columns][2].
#include "kernels/gradient_table.h"
#include "kernels/x86/gradient_pairs_avx512.h"
#include "kernels/x86/weights_avx512.h"
// The body is written against the names above.
#include "kernels/simd/gradient_body.h"

namespace fathom {
namespace avx512 {
namespace {

struct TwoRows {
  static int64_t steps(int64_t n_t) { return (n_t + 1) / 2; }
  static F32 accumulate(F32 a, F32 b, F32 sum) { return dot_pairs(sum, a, b); }
};

void pack_pairs(const OuterPack& args) {
  auto* out = static_cast<float*>(args.out);
  for (int64_t t = 0; t < args.n_t; t += 2) {
    for (int64_t column = 0; column < args.n; column += kOuterStep, out += kOuterStep)
      store(out, pair_rows(args, t, column));
  }
}

constexpr GradientTable table_of_pairs() {
  GradientTable out = kTable;
  out.outer_bf16 = {pack_pairs, pack_pairs, outer_multiply<TwoRows>};
  return out;
}

}  // namespace

const GradientTable kGradient = kTable;

}  // namespace avx512

namespace avx512bf16 {
const GradientTable kGradient = avx512::table_of_pairs();
}

}  // namespace fathom
