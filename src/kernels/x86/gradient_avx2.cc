// The kernels of the pass back for AVX2.
#include "kernels/gradient_table.h"
#include "kernels/x86/weights_avx2.h"
// The body is written against the names above.
#include "kernels/simd/gradient_body.h"

namespace fathom::avx2 {
const GradientTable kGradient = kTable;
}
