// The vector instruction set of AArch64, which every processor of it has. Dot products of bytes,
// which most have, give the same bytes sooner, so they are no set of their own.
#include "kernels/kernel_sets.h"

#if defined(__linux__)
#include <sys/auxv.h>
#endif

namespace fathom {

namespace {

bool cpu_has_dot_products() {
#if defined(__linux__)
  constexpr unsigned long kAsimdDp = 1ul << 20;  // HWCAP_ASIMDDP
  return (getauxval(AT_HWCAP) & kAsimdDp) != 0;
#elif defined(__APPLE__)
  return true;
#else
  return false;
#endif
}

KernelSet neon_set() {
  const bool dot = cpu_has_dot_products();
  return {
      .isa = Isa::kNeon,
      .cpu_has = [] { return true; },
      .linear = {neon::linear_range, neon::prepare_row, neon::weight_row,
                 dot ? neon_dotprod::quant_range : neon::quant_range,
                 dot ? neon_dotprod::prepare_int8 : neon::prepare_int8},
      .attention = &neon::kAttention,
      .elementwise = &neon::kElementwise,
      .optimizer = &neon::kOptimizer,
      .gradient = &neon::kGradient,
      .limits = {neon::limit_read, neon::limit_fp32, neon::limit_bf16, neon::limit_int8},
  };
}

}  // namespace

std::span<const KernelSet> vector_kernel_sets() {
  static const KernelSet set = neon_set();
  return std::span(&set, 1);
}

}  // namespace fathom
