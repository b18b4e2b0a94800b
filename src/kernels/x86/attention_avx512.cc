// The attention kernels for AVX512.
#include "kernels/attention_args.h"
#include "kernels/x86/vec_avx512.h"
// The body is written against the names above.
#include "kernels/simd/attention_body.h"

namespace fathom::avx512 {
const AttentionTable kAttention = kVectorAttention;
}
