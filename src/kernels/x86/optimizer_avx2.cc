// The optimiser's kernels for AVX2.
#include "kernels/optimizer_table.h"
#include "kernels/x86/vec_avx2.h"
// The body is written against the names above.
#include "kernels/simd/optimizer_body.h"
