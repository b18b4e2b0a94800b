#include "kernels/linear_table.h"

namespace fathom {

const LinearKernels& linear_kernels(Isa isa) {
  static constexpr LinearKernels kRefKernels{ref::linear_range, ref::prepare_row, ref::weight_row};
  (void)isa;
  return kRefKernels;
}

}  // namespace fathom
