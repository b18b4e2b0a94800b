// The parts of a config that stand in objects of their own. Internal to config.cc.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "model/config.h"
#include "model/config_fields.h"

namespace fathom {

inline constexpr int64_t kPositionsMax = int64_t{1} << 30;

// rope_theta, rope_scaling, rope_parameters, rope_interleave.
Status parse_rope(const ConfigFields& fields, ModelConfig& config);
// quantization_config; absent: weights are not quantised.
Status parse_quantization(const ConfigFields& fields, ModelConfig& config);

}  // namespace fathom
