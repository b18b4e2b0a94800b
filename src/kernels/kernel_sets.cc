#include "kernels/kernel_sets.h"

#include "base/check.h"

namespace fathom {

namespace {
constexpr KernelSet kRefSet = {
    .isa = Isa::kRef,
    .cpu_has = [] { return true; },
    .linear = {ref::linear_range, ref::prepare_row, ref::weight_row, ref::quant_range,
               ref::prepare_int8},
    .attention = &ref::kAttention,
    .elementwise = &ref::kElementwise,
    .optimizer = &ref::kOptimizer,
    .gradient = &ref::kGradient,
    .limits = {ref::limit_read, ref::limit_fp32, ref::limit_bf16, ref::limit_int8},
};
}  // namespace

const KernelSet& kernel_set(Isa isa) {
  if (isa == Isa::kRef) return kRefSet;
  for (const KernelSet& set : vector_kernel_sets()) {
    if (set.isa == isa) return set;
  }
  FATHOM_CHECK(false, "instruction set ", isa_name(isa), " is not built in");
  return kRefSet;
}

}  // namespace fathom
