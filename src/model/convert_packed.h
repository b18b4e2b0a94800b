// From published weights to a packed folder (docs/quantization.md): matrices as INT8 or INT4 in the
// layout of the kernels, everything else byte for byte as it was.
#pragma once

#include <memory>

#include "base/result.h"
#include "io/checkpoint.h"
#include "model/config.h"
#include "model/conversion.h"
#include "model/packed_formats.h"

namespace fathom {

// config.json says the formats; quantization.json (model/quantization_report.h) comes with it. Left
// out: the copies of embedding and head that MTP modules have, and a head beside a tied embedding.
// Refused: a checkpoint that is packed already. A value that is not finite, or for INT4 beyond F16,
// is an error that names the tensor.
Result<ConversionPlan> plan_pack(const ModelConfig& config,
                                 std::shared_ptr<const Checkpoint> checkpoint,
                                 const PackedFormats& formats, int64_t shard_bytes);

}  // namespace fathom
