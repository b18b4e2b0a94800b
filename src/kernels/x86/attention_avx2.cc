// The attention kernels for AVX2.
#include "kernels/attention_args.h"
#include "kernels/x86/vec_avx2.h"
// The body is written against the names above.
#include "kernels/simd/attention_body.h"

namespace fathom::avx2 {
const AttentionTable kAttention = kVectorAttention;
}
