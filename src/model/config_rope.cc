// Rotary embedding in a config: YaRN or nothing (spec §2.4), in the spelling of the published files
// and in that of transformers 5.
#include <optional>

#include "model/config_parts.h"

namespace fathom {

namespace {

Result<std::optional<RopeScaling>> parse_scaling(const ConfigFields& fields, std::string_view name,
                                                 const Json& json) {
  if (!json.is_object()) return fields.wrong_type(name, "an object or null");
  const ConfigFields rope(json, fields.where(name));
  // Older files say "type", transformers 5 says "rope_type", some say both.
  FATHOM_TRY(const std::string old_type, rope.one_of("type", {"yarn", "default"}, ""));
  FATHOM_TRY(const std::string new_type, rope.one_of("rope_type", {"yarn", "default"}, ""));
  if (!old_type.empty() && !new_type.empty() && old_type != new_type) {
    return invalid_error(rope.where("type"), " is ", old_type, ", but rope_type is ", new_type);
  }
  const std::string type = old_type.empty() ? new_type : old_type;
  if (type.empty() && rope.find("factor") != nullptr) {
    return invalid_error(rope.where("type"), " is missing beside a factor; expected \"yarn\"");
  }
  FATHOM_TRY(const double partial, rope.number("partial_rotary_factor", 0, 1, 1));
  if (partial != 1)
    return unsupported_error(rope.where("partial_rotary_factor"), " is ", partial,
                             ", only 1 is supported");
  if (type != "yarn") return std::optional<RopeScaling>();

  for (std::string_view other :
       {"attention_factor", "attn_factor", "short_factor", "long_factor", "extrapolation_factor"}) {
    if (rope.find(other) != nullptr)
      return unsupported_error(rope.where(other), " is not supported");
  }
  FATHOM_TRY(const bool truncate, rope.boolean("truncate", true));
  if (!truncate)
    return unsupported_error(rope.where("truncate"), " is false, which is not supported");
  RopeScaling yarn;
  FATHOM_TRY(yarn.factor, rope.number("factor", 1, 1e6));
  FATHOM_TRY(yarn.original_max_position_embeddings,
             rope.integer("original_max_position_embeddings", 1, kPositionsMax));
  FATHOM_TRY(yarn.beta_fast, rope.number("beta_fast", 1e-6, 1e6, 32));
  FATHOM_TRY(yarn.beta_slow, rope.number("beta_slow", 1e-6, 1e6, 1));
  FATHOM_TRY(yarn.mscale, rope.number("mscale", 0, 100, 1));
  FATHOM_TRY(yarn.mscale_all_dim, rope.number("mscale_all_dim", 0, 100, 0));
  if (yarn.beta_fast < yarn.beta_slow) {
    return invalid_error(rope.where("beta_fast"), " is ", yarn.beta_fast,
                         ", less than beta_slow = ", yarn.beta_slow);
  }
  return std::optional<RopeScaling>(yarn);
}

}  // namespace

Status parse_rope(const ConfigFields& fields, ModelConfig& config) {
  const Json* scaling = fields.find("rope_scaling");
  const Json* parameters = fields.find("rope_parameters");
  if (scaling != nullptr) {
    FATHOM_TRY(config.rope_scaling, parse_scaling(fields, "rope_scaling", *scaling));
  }
  std::optional<double> theta;
  if (fields.find("rope_theta") != nullptr) {
    FATHOM_TRY(theta, fields.number("rope_theta", 1.0001, 1e15));
  }
  if (parameters != nullptr) {
    FATHOM_TRY(const std::optional<RopeScaling> yarn,
               parse_scaling(fields, "rope_parameters", *parameters));
    if (scaling != nullptr && yarn != config.rope_scaling) {
      return invalid_error(fields.where("rope_parameters"),
                           " and rope_scaling do not say the same");
    }
    config.rope_scaling = yarn;
    const ConfigFields inner(*parameters, fields.where("rope_parameters"));
    if (inner.find("rope_theta") != nullptr) {
      FATHOM_TRY(const double value, inner.number("rope_theta", 1.0001, 1e15));
      if (theta && *theta != value) {
        return invalid_error(inner.where("rope_theta"), " is ", value, ", but the config's own is ",
                             *theta);
      }
      theta = value;
    }
  }
  if (!theta) return invalid_error(fields.where("rope_theta"), " is missing");
  config.rope_theta = *theta;
  FATHOM_TRY(config.rope_interleave, fields.boolean("rope_interleave", true));
  return {};
}

}  // namespace fathom
