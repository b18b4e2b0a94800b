// Integer weights for AArch64 processors with dot products of bytes (ARMv8.2 and later).
#define FATHOM_ISA_NAMESPACE neon_dotprod
#include "kernels/arm/quant_neon_body.h"
