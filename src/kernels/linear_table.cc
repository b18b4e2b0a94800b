#include "kernels/linear_table.h"

namespace fathom {

const LinearKernels& linear_kernels(Isa isa) {
  static constexpr LinearKernels kRefKernels{ref::linear_range, ref::prepare_row, ref::weight_row};
#if defined(__x86_64__)
  static constexpr LinearKernels kAvx2Kernels{avx2::linear_range, avx2::prepare_row,
                                              avx2::weight_row};
  static constexpr LinearKernels kAvx512Kernels{avx512::linear_range, avx512::prepare_row,
                                                avx512::weight_row};
#endif
  switch (isa) {
    case Isa::kRef:
      return kRefKernels;
#if defined(__x86_64__)
    case Isa::kAvx2:
      return kAvx2Kernels;
    case Isa::kAvx512:
    case Isa::kAmx:
      return kAvx512Kernels;
#else
    case Isa::kAvx2:
    case Isa::kAvx512:
    case Isa::kAmx:
      break;  // never available here
#endif
  }
  return kRefKernels;
}

}  // namespace fathom
