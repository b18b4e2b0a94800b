// Quantisation in a config: FP8 in blocks of 128x128, as published (spec §3), packed (ours), or
// nothing.
#include <algorithm>

#include "io/printable.h"
#include "model/config_parts.h"

namespace fathom {

namespace {

// Modules left unquantised may be named only if they are never quantised anyway (spec §1.3).
Status check_unquantised(const ConfigFields& quantization, std::string_view name) {
  const Json* list = quantization.find(name);
  if (quantization.asks_for_nothing(name)) return {};
  if (!list->is_array()) return quantization.wrong_type(name, "an array");
  for (const Json& module : list->as_array()) {
    const std::string text = module.is_string() ? module.as_string() : std::string();
    const bool never = text.ends_with("lm_head") || text.ends_with("embed_tokens") ||
                       text.ends_with("gate") || text.ends_with("norm") ||
                       text.ends_with("eh_proj");
    if (!never) {
      return unsupported_error(
          quantization.where(name), " holds ", printable(module.dump(), 80),
          ", a layer that published checkpoints quantise; that is not supported");
    }
  }
  return {};
}

Status parse_packed(const ConfigFields& quantization, ModelConfig& config) {
  const Json* formats = quantization.find("formats");
  if (formats == nullptr) return invalid_error(quantization.where("formats"), " is missing");
  FATHOM_TRY(config.packed_formats, parse_packed_formats(*formats, quantization.where("formats")));
  return {};
}

}  // namespace

Status parse_quantization(const ConfigFields& fields, ModelConfig& config) {
  const Json* json = fields.find("quantization_config");
  if (json == nullptr) return {};
  if (!json->is_object()) return fields.wrong_type("quantization_config", "an object or null");
  const ConfigFields quantization(*json, fields.where("quantization_config"));
  QuantizationConfig result;
  FATHOM_TRY(const std::string method,
             quantization.one_of("quant_method", {"fp8", "fathom"}, std::nullopt));
  if (method == "fathom") return parse_packed(quantization, config);
  FATHOM_RETURN_IF_ERROR(quantization.require("fmt", {"e4m3"}, "e4m3"));
  FATHOM_RETURN_IF_ERROR(quantization.require("activation_scheme", {"dynamic"}, "dynamic"));
  FATHOM_TRY(const std::string scale_fmt,
             quantization.one_of("scale_fmt", {"ue8m0", "float"}, "float"));
  result.ue8m0 = scale_fmt == "ue8m0";
  const Json* block = quantization.find("weight_block_size");
  const bool is_128 =
      block != nullptr && block->is_array() && block->as_array().size() == 2 &&
      std::all_of(block->as_array().begin(), block->as_array().end(),
                  [](const Json& side) { return side.is_int() && side.as_int() == 128; });
  if (!is_128) {
    return unsupported_error(quantization.where("weight_block_size"), " is ",
                             block == nullptr ? "missing" : printable(block->dump(), 60),
                             ", only [128, 128] is supported");
  }
  FATHOM_RETURN_IF_ERROR(check_unquantised(quantization, "modules_to_not_convert"));
  FATHOM_RETURN_IF_ERROR(check_unquantised(quantization, "ignored_layers"));
  config.quantization_config = result;
  return {};
}

}  // namespace fathom
