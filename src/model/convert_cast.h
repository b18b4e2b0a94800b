// FP8 to BF16 and back (spec §3.2, §3.4, §3.7): plans for run_conversion() that keep the files of a
// checkpoint and their names, and change what is in them.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "io/checkpoint.h"
#include "model/config.h"
#include "model/conversion.h"

namespace fathom {

// To BF16: every F8_E4M3 matrix becomes bf16(float(q) * scale_inv), ties to even, and its scales
// go; matrices in F32 and F16 are rounded to BF16 too; vectors (norms, router biases) and what is
// BF16 already stay as they are. config.json loses quantization_config (and torch_dtype says
// bfloat16), the rest of it stays in its order. A NaN code in a weight is an error that names the
// tensor.
Result<ConversionPlan> plan_cast_to_bf16(const ModelConfig& config,
                                         std::shared_ptr<const Checkpoint> checkpoint);

// To FP8: the matrices that published files quantise (ExpectedTensor::quantised) become F8_E4M3 in
// blocks of 128x128 with scale_inv = max(amax, 1e-4) / 448, or with ue8m0 that rounded up to a
// power of two; everything else stays as it is. config.json gets quantization_config. A value that
// is not finite is an error that names the tensor. So is a checkpoint that is FP8 already.
Result<ConversionPlan> plan_cast_to_fp8(const ModelConfig& config,
                                        std::shared_ptr<const Checkpoint> checkpoint, bool ue8m0);

}  // namespace fathom
