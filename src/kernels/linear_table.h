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
  // Rows n .. n + 15 of an integer weight (packed: n a multiple of 16) as F32 to out, ld floats
  // from row to row, with the values of ref::quant_weight_row; rows from args.n_end on repeat the
  // last or are a panel's padding. Null: row by row.
  void (*quant_widen)(const QuantRange& args, int64_t n, float* out, int64_t ld) = nullptr;
};
const LinearKernels& linear_kernels(Isa isa);

}  // namespace fathom
