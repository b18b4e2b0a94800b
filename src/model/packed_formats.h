// Which weights of a packed model are INT8 or INT4 (docs/quantization.md): a format for each kind
// of matrix, stated in config.json as
//   "quantization_config": {"quant_method": "fathom", "formats": {"routed_experts": "int4", ...}}.
// A kind that is not named there is stored as any other tensor. Here are the kinds, the written
// rule of which get which, and the way to and from JSON; the bytes are tensor/packed.h.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "io/json.h"
#include "tensor/dtype.h"

namespace fathom {

enum class WeightKind : uint8_t {
  kAttention,      // q_proj, q_a_proj, q_b_proj, kv_a_proj_with_mqa, o_proj
  kDenseMlp,       // gate_proj, up_proj, down_proj of the dense layers
  kSharedExperts,  // of the shared experts
  kRoutedExperts,  // of the routed experts
  kHead,           // lm_head
};
inline constexpr size_t kWeightKinds = 5;
// "attention", "dense_mlp", "shared_experts", "routed_experts", "lm_head"
std::string_view weight_kind_name(WeightKind kind);
// Of a tensor's name; none: never packed (norms, router, biases, embedding, kv_b_proj, eh_proj,
// copies of embedding and head in MTP modules).
std::optional<WeightKind> weight_kind(std::string_view tensor_name);

// kInt8, kInt4 or none for each kind.
struct PackedFormats {
  std::array<std::optional<Dtype>, kWeightKinds> formats;

  std::optional<Dtype>& of(WeightKind kind) { return formats[static_cast<size_t>(kind)]; }
  std::optional<Dtype> of(WeightKind kind) const { return formats[static_cast<size_t>(kind)]; }
  std::optional<Dtype> of_tensor(std::string_view tensor_name) const;
  friend bool operator==(const PackedFormats&, const PackedFormats&) = default;
};

// The rule. dtype: kInt8 or kInt4, of all kinds, but the head is never below INT8 (docs/
// quantization.md: two thirds of what INT4 costs would be the head's). mix: routed experts in
// dtype, everything else one step wider (INT4: INT8; INT8: as it is).
PackedFormats packed_formats(Dtype dtype, bool mix);

// The value of quantization_config.
Json packed_formats_json(const PackedFormats& formats);
// Of its "formats"; where is how messages call it. An unknown kind or format is an error.
Result<PackedFormats> parse_packed_formats(const Json& formats, const std::string& where);

}  // namespace fathom
