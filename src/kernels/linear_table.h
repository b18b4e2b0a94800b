// The kernels behind linear.h, one set of functions per instruction set.
#pragma once

#include "kernels/dispatch.h"
#include "kernels/linear_args.h"
#include "kernels/quant_args.h"

namespace fathom {

struct LinearKernels {
  void (*range)(const LinearRange&);
  void (*prepare_row)(const PrepareRow&);
  void (*weight_row)(const WeightRow&);
  void (*quant_range)(const QuantRange&);
  void (*prepare_int8)(const PrepareInt8&);
  void (*prepare_tiles)(const PrepareTiles&) = nullptr;  // the set has no tiles
  // As prepare_row, but k_padded values of BF16 in place of args.out; null: the set has no pairs.
  void (*prepare_pairs)(const PrepareRow&, uint16_t* out) = nullptr;
};
const LinearKernels& linear_kernels(Isa isa);

}  // namespace fathom
