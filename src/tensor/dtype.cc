#include "tensor/dtype.h"

#include <array>

#include "base/check.h"

namespace fathom {

namespace {
struct DtypeInfo {
  Dtype dtype;
  std::string_view name;
  int64_t size;
};
constexpr std::array<DtypeInfo, 12> kDtypes = {{
    {Dtype::kF32, "F32", 4},
    {Dtype::kF16, "F16", 2},
    {Dtype::kBF16, "BF16", 2},
    {Dtype::kF8E4M3, "F8_E4M3", 1},
    {Dtype::kF8E8M0, "F8_E8M0", 1},
    {Dtype::kF64, "F64", 8},
    {Dtype::kI64, "I64", 8},
    {Dtype::kI32, "I32", 4},
    {Dtype::kI16, "I16", 2},
    {Dtype::kI8, "I8", 1},
    {Dtype::kU8, "U8", 1},
    {Dtype::kBool, "BOOL", 1},
}};
}  // namespace

int64_t dtype_size(Dtype dtype) {
  const auto& info = kDtypes[static_cast<size_t>(dtype)];
  FATHOM_DCHECK(info.dtype == dtype, "the table is in the order of the enum");
  return info.size;
}

std::string_view dtype_name(Dtype dtype) { return kDtypes[static_cast<size_t>(dtype)].name; }

std::optional<Dtype> dtype_from_name(std::string_view name) {
  for (const auto& info : kDtypes) {
    if (info.name == name) return info.dtype;
  }
  return std::nullopt;
}

}  // namespace fathom
