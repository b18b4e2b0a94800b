// The instruction sets that the long tests of kernels run on. For tests only.
#pragma once

#include <vector>

#include "kernels/dispatch.h"

namespace fathom::isa_testing {

// The processor is a program (qemu-user), some fifty times slower.
#if defined(FATHOM_EMULATED)
inline constexpr bool kEmulated = true;
#else
inline constexpr bool kEmulated = false;
#endif

// All sets; under emulation without ref, whose plain loops are the same code on every processor.
inline std::vector<Isa> isas_of_long_tests() {
  std::vector<Isa> isas = available_isas();
  if (kEmulated) isas.erase(isas.begin());
  return isas;
}

}  // namespace fathom::isa_testing
