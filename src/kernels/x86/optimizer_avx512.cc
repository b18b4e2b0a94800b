// The optimiser's kernels for AVX512.
#include "kernels/optimizer_table.h"
#include "kernels/x86/vec_avx512.h"
// The body is written against the names above.
#include "kernels/simd/optimizer_body.h"
