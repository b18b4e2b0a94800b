// Processors for which no vector kernels are written: ref alone.
#include "kernels/kernel_sets.h"

namespace fathom {

std::span<const KernelSet> vector_kernel_sets() { return {}; }

}  // namespace fathom
