// Integer weights for every AArch64 processor.
#include "kernels/arm/quant_neon_body.h"
