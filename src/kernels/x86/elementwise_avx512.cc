// The elementwise kernels for AVX512.
#include "kernels/elementwise_table.h"
#include "kernels/x86/vec_avx512.h"
// The body is written against the names above.
#include "kernels/simd/elementwise_body.h"
