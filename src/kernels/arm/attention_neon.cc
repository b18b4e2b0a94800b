// The attention kernels for NEON.
#include "kernels/arm/narrow_neon.h"
#include "kernels/attention_args.h"
// The body is written against the names above.
#include "kernels/simd/attention_body.h"

namespace fathom::neon {
const AttentionTable kAttention = kVectorAttention;
}
