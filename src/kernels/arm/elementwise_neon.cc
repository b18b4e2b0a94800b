// The elementwise kernels for NEON.
#include "kernels/arm/vec_neon.h"
#include "kernels/elementwise_table.h"
// The body is written against the names above.
#include "kernels/simd/elementwise_body.h"
