// The kernels of the pass back for NEON.
#include "kernels/arm/weights_neon.h"
#include "kernels/gradient_table.h"
// The body is written against the names above.
#include "kernels/simd/gradient_body.h"

namespace fathom::neon {
const GradientTable kGradient = kTable;
}
