#include "model/tensor_values.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "tensor/numeric.h"

namespace fathom {

bool is_float_dtype(Dtype dtype) {
  return dtype == Dtype::kF32 || dtype == Dtype::kF16 || dtype == Dtype::kBF16;
}

float value_at(const Tensor& tensor, int64_t i) {
  switch (tensor.dtype) {
    case Dtype::kF32:
      return tensor.as<float>()[i];
    case Dtype::kF16:
      return f16_to_f32(tensor.as<F16>()[i]);
    case Dtype::kBF16:
      return bf16_to_f32(tensor.as<Bf16>()[i]);
    case Dtype::kF8E4M3:
      return e4m3_to_f32(tensor.as<E4M3>()[i]);
    case Dtype::kF8E8M0:
      return e8m0_to_f32(tensor.as<uint8_t>()[i]);
    default:
      FATHOM_CHECK(false, dtype_name(tensor.dtype), " is no floating-point dtype");
      return 0;
  }
}

void write_floats(const float* values, int64_t n, Dtype dtype, void* out) {
  switch (dtype) {
    case Dtype::kF32:
      std::copy_n(values, n, static_cast<float*>(out));
      return;
    case Dtype::kF16:
      std::transform(values, values + n, static_cast<F16*>(out), f32_to_f16);
      return;
    case Dtype::kBF16:
      std::transform(values, values + n, static_cast<Bf16*>(out), f32_to_bf16);
      return;
    default:
      FATHOM_CHECK(false, dtype_name(dtype), " is no floating-point dtype");
  }
}

int64_t find_e4m3_nan(const uint8_t* codes, int64_t n) {
  constexpr int64_t kBlock = 4096;
  constexpr uint64_t kLow7 = 0x7f7f7f7f7f7f7f7f, kOnes = 0x0101010101010101,
                     kHigh = 0x8080808080808080;
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t end = std::min(n, begin + kBlock);
    // Eight codes at a time: 0x7f plus one is the only sum that reaches a byte's highest bit.
    uint64_t found = 0;
    int64_t i = begin;
    for (; i + 8 <= end; i += 8) {
      uint64_t word;
      std::memcpy(&word, codes + i, 8);
      found |= (word & kLow7) + kOnes;
    }
    bool look = (found & kHigh) != 0;
    for (; i < end; ++i) look = look || (codes[i] & 0x7f) == 0x7f;
    if (!look) continue;
    for (int64_t j = begin; j < end; ++j) {
      if ((codes[j] & 0x7f) == 0x7f) return j;
    }
  }
  return -1;
}

}  // namespace fathom
