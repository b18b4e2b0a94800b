// The vector instruction set of AArch64, which every processor of it has.
#include "kernels/kernel_sets.h"

namespace fathom {

namespace {
constexpr KernelSet kSets[] = {
    {
        .isa = Isa::kNeon,
        .cpu_has = [] { return true; },
        .linear = {neon::linear_range, neon::prepare_row, neon::weight_row, ref::quant_range,
                   ref::prepare_int8},
        .attention = &neon::kAttention,
        .elementwise = &neon::kElementwise,
        .limits = {neon::limit_read, neon::limit_fp32, neon::limit_bf16, neon::limit_int8},
    },
};
}  // namespace

std::span<const KernelSet> vector_kernel_sets() { return kSets; }

}  // namespace fathom
