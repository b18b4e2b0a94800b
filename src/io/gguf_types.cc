#include "io/gguf_types.h"

#include "io/gguf.h"

namespace fathom {

namespace {

constexpr GgufTensorType kTypes[] = {
    {0, "F32", Dtype::kF32},      {1, "F16", Dtype::kF16},       {2, "Q4_0", Dtype::kQ4_0},
    {3, "Q4_1", Dtype::kQ4_1},    {6, "Q5_0", Dtype::kQ5_0},     {7, "Q5_1", Dtype::kQ5_1},
    {8, "Q8_0", Dtype::kQ8_0},    {9, "Q8_1", std::nullopt},     {10, "Q2_K", std::nullopt},
    {11, "Q3_K", std::nullopt},   {12, "Q4_K", Dtype::kQ4_K},    {13, "Q5_K", Dtype::kQ5_K},
    {14, "Q6_K", Dtype::kQ6_K},   {15, "Q8_K", std::nullopt},    {16, "IQ2_XXS", std::nullopt},
    {17, "IQ2_XS", std::nullopt}, {18, "IQ3_XXS", std::nullopt}, {19, "IQ1_S", std::nullopt},
    {20, "IQ4_NL", std::nullopt}, {21, "IQ3_S", std::nullopt},   {22, "IQ2_S", std::nullopt},
    {23, "IQ4_XS", std::nullopt}, {24, "I8", std::nullopt},      {25, "I16", std::nullopt},
    {26, "I32", std::nullopt},    {27, "I64", std::nullopt},     {28, "F64", std::nullopt},
    {29, "IQ1_M", std::nullopt},  {30, "BF16", Dtype::kBF16},    {34, "TQ1_0", std::nullopt},
    {35, "TQ2_0", std::nullopt},  {39, "MXFP4", std::nullopt},   {40, "NVFP4", std::nullopt},
    {41, "Q1_0", std::nullopt},
};

}  // namespace

const GgufTensorType* find_gguf_tensor_type(uint32_t code) {
  for (const GgufTensorType& type : kTypes) {
    if (type.code == code) return &type;
  }
  return nullptr;
}

std::optional<uint32_t> gguf_type_code(Dtype dtype) {
  for (const GgufTensorType& type : kTypes) {
    if (type.dtype == dtype) return type.code;
  }
  return std::nullopt;
}

std::string gguf_types_that_run() {
  std::string out;
  for (const GgufTensorType& type : kTypes) {
    if (!type.dtype) continue;
    if (!out.empty()) out += ", ";
    out += type.name;
  }
  return out;
}

}  // namespace fathom
