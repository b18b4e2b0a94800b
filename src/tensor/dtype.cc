#include "tensor/dtype.h"

#include <array>

#include "base/check.h"
#include "base/math.h"

namespace fathom {

namespace {
struct DtypeInfo {
  Dtype dtype;
  std::string_view name;
  DtypeBlock block;
};
constexpr std::array<DtypeInfo, 22> kDtypes = {{
    {Dtype::kF32, "F32", {1, 1, 4}},
    {Dtype::kF16, "F16", {1, 1, 2}},
    {Dtype::kBF16, "BF16", {1, 1, 2}},
    {Dtype::kF8E4M3, "F8_E4M3", {1, 1, 1}},
    {Dtype::kF8E8M0, "F8_E8M0", {1, 1, 1}},
    {Dtype::kF64, "F64", {1, 1, 8}},
    {Dtype::kI64, "I64", {1, 1, 8}},
    {Dtype::kI32, "I32", {1, 1, 4}},
    {Dtype::kI16, "I16", {1, 1, 2}},
    {Dtype::kI8, "I8", {1, 1, 1}},
    {Dtype::kU8, "U8", {1, 1, 1}},
    {Dtype::kBool, "BOOL", {1, 1, 1}},
    {Dtype::kQ8_0, "Q8_0", {1, 32, 34}},
    {Dtype::kQ4_0, "Q4_0", {1, 32, 18}},
    {Dtype::kQ4_1, "Q4_1", {1, 32, 20}},
    {Dtype::kQ5_0, "Q5_0", {1, 32, 22}},
    {Dtype::kQ5_1, "Q5_1", {1, 32, 24}},
    {Dtype::kQ4_K, "Q4_K", {1, 256, 144}},
    {Dtype::kQ5_K, "Q5_K", {1, 256, 176}},
    {Dtype::kQ6_K, "Q6_K", {1, 256, 210}},
    {Dtype::kInt8, "INT8", {16, 128, 64 + 16 * 128}},
    {Dtype::kInt4, "INT4", {16, 64, 64 + 16 * 64 / 2}},
}};
}  // namespace

DtypeBlock dtype_block(Dtype dtype) {
  const auto& info = kDtypes[static_cast<size_t>(dtype)];
  FATHOM_DCHECK(info.dtype == dtype, "the table is in the order of the enum");
  return info.block;
}

int64_t dtype_size(Dtype dtype) {
  FATHOM_CHECK(!is_block_type(dtype), dtype_name(dtype), " has no size of one element");
  return dtype_block(dtype).bytes;
}

int64_t matrix_bytes(Dtype dtype, int64_t n, int64_t k) {
  const DtypeBlock block = dtype_block(dtype);
  return ceil_div(n, block.rows) * ceil_div(k, block.cols) * block.bytes;
}

std::string_view dtype_name(Dtype dtype) { return kDtypes[static_cast<size_t>(dtype)].name; }

std::optional<Dtype> dtype_from_name(std::string_view name) {
  for (const auto& info : kDtypes) {
    if (info.name == name && !is_block_type(info.dtype)) return info.dtype;
  }
  return std::nullopt;
}

}  // namespace fathom
