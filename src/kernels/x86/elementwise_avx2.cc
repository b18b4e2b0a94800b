// The elementwise kernels for AVX2.
#include "kernels/elementwise_table.h"
#include "kernels/x86/vec_avx2.h"
// The body is written against the names above.
#include "kernels/simd/elementwise_body.h"
