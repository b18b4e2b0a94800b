#include "kernels/linear_table.h"

#include "kernels/kernel_sets.h"

namespace fathom {

const LinearKernels& linear_kernels(Isa isa) { return kernel_set(isa).linear; }

}  // namespace fathom
