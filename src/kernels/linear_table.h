// The kernels behind linear.h, one set of functions per instruction set.
#pragma once

#include "kernels/dispatch.h"
#include "kernels/linear_args.h"

namespace fathom {

struct LinearKernels {
  void (*range)(const LinearRange&);
  void (*prepare_row)(const PrepareRow&);
  void (*weight_row)(const WeightRow&);
};
const LinearKernels& linear_kernels(Isa isa);

}  // namespace fathom
