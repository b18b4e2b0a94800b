// Which kernels serve an instruction set: a row for each set, a column for each family. The rows of
// a family of processors stand in the folder that is compiled for it alone (x86/, arm/; portable/
// has none), so that nothing else asks which processor the build is for.
#pragma once

#include <span>

#include "kernels/attention_args.h"
#include "kernels/dispatch.h"
#include "kernels/elementwise_table.h"
#include "kernels/gradient_table.h"
#include "kernels/linear_table.h"
#include "kernels/machine_limits_args.h"
#include "kernels/optimizer_table.h"

namespace fathom {

struct KernelSet {
  Isa isa = Isa::kRef;
  bool (*cpu_has)() = nullptr;  // may ask the operating system for registers, so call it once
  LinearKernels linear;
  const AttentionTable* attention = nullptr;
  const ElementwiseTable* elementwise = nullptr;
  const OptimizerTable* optimizer = nullptr;
  const GradientTable* gradient = nullptr;
  MachineLimitLoops limits;
};

// The sets with vectors that this build holds, the fastest last.
std::span<const KernelSet> vector_kernel_sets();

// The row of isa, which is one of available_isas().
const KernelSet& kernel_set(Isa isa);

}  // namespace fathom
