#include "model/packed_formats.h"

#include "base/check.h"
#include "io/printable.h"

namespace fathom {

namespace {

constexpr std::array<std::string_view, kWeightKinds> kKindNames = {
    "attention", "dense_mlp", "shared_experts", "routed_experts", "lm_head"};

std::string_view format_name(Dtype dtype) { return dtype == Dtype::kInt8 ? "int8" : "int4"; }

}  // namespace

std::string_view weight_kind_name(WeightKind kind) { return kKindNames[static_cast<size_t>(kind)]; }

std::optional<WeightKind> weight_kind(std::string_view name) {
  if (name == "lm_head.weight") return WeightKind::kHead;
  constexpr std::string_view kLayers = "model.layers.";
  if (!name.starts_with(kLayers) || !name.ends_with("_proj.weight")) {
    constexpr std::string_view kKvA = ".self_attn.kv_a_proj_with_mqa.weight";
    return name.ends_with(kKvA) ? std::optional(WeightKind::kAttention) : std::nullopt;
  }
  const auto has = [&](std::string_view part) { return name.find(part) != std::string_view::npos; };
  // kv_b_proj is multiplied as F32 in the absorbed form of attention.
  if (has(".self_attn.")) {
    return has(".kv_b_proj.") ? std::nullopt : std::optional(WeightKind::kAttention);
  }
  if (has(".mlp.experts.")) return WeightKind::kRoutedExperts;
  if (has(".mlp.shared_experts.")) return WeightKind::kSharedExperts;
  return has(".mlp.") ? std::optional(WeightKind::kDenseMlp) : std::nullopt;
}

std::optional<Dtype> PackedFormats::of_tensor(std::string_view tensor_name) const {
  const std::optional<WeightKind> kind = weight_kind(tensor_name);
  return kind ? of(*kind) : std::nullopt;
}

PackedFormats packed_formats(Dtype dtype, bool mix) {
  FATHOM_CHECK(dtype == Dtype::kInt8 || dtype == Dtype::kInt4, dtype_name(dtype));
  PackedFormats out;
  if (!mix) {
    out.formats.fill(dtype);
    out.of(WeightKind::kHead) = Dtype::kInt8;
  } else if (dtype == Dtype::kInt4) {
    out.formats.fill(Dtype::kInt8);
  }
  out.of(WeightKind::kRoutedExperts) = dtype;
  return out;
}

Json packed_formats_json(const PackedFormats& formats) {
  Json named = Json::object();
  for (size_t i = 0; i < kWeightKinds; ++i) {
    if (formats.formats[i]) named.set(kKindNames[i], format_name(*formats.formats[i]));
  }
  return Json::Object{{"quant_method", "fathom"}, {"formats", std::move(named)}};
}

Result<PackedFormats> parse_packed_formats(const Json& formats, const std::string& where) {
  if (!formats.is_object())
    return invalid_error(where, " is ", formats.type_name(), ", expected an object");
  PackedFormats out;
  for (const auto& [name, format] : formats.as_object()) {
    size_t kind = 0;
    while (kind < kWeightKinds && kKindNames[kind] != name) ++kind;
    if (kind == kWeightKinds) {
      return unsupported_error(where, " names \"", printable(name), "\", expected some of ",
                               str_list(kKindNames));
    }
    const std::string text = format.is_string() ? format.as_string() : std::string();
    if (text != "int8" && text != "int4") {
      return unsupported_error(
          where, ".", name, " is ", printable(format.dump(), 60),
          ", expected \"int8\" or \"int4\"; was this folder written by a later "
          "version?");
    }
    out.formats[kind] = text == "int8" ? Dtype::kInt8 : Dtype::kInt4;
  }
  return out;
}

}  // namespace fathom
