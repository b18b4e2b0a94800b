// The optimiser's kernels for NEON.
#include "kernels/arm/narrow_neon.h"
#include "kernels/optimizer_table.h"
// The body is written against the names above.
#include "kernels/simd/optimizer_body.h"
