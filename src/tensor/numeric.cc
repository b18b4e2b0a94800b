#include "tensor/numeric.h"

#include <algorithm>
#include <cmath>

namespace fathom {

float f16_to_f32(F16 bits) {
  const uint32_t sign = uint32_t{bits & 0x8000u} << 16;
  const uint32_t exponent = (bits >> 10) & 0x1fu;
  const uint32_t mantissa = bits & 0x3ffu;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

F16 f32_to_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const F16 sign = static_cast<F16>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7e00u;
  if (magnitude >= 0x477ff000u) return sign | 0x7c00u;  // rounds to 65536 or more: infinity
  if (magnitude < 0x38800000u) {
    // Below 2^-14 the result is a multiple of 2^-24: adding 0.5 aligns the float's last bit with
    // it.
    const float aligned = std::bit_cast<float>(magnitude) + 0.5f;
    return sign | static_cast<F16>(std::bit_cast<uint32_t>(aligned) - 0x3f000000u);
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return sign | static_cast<F16>((rounded - 0x38000000u) >> 13);
}

float e4m3_to_f32(E4M3 bits) {
  const uint32_t sign = uint32_t{bits & 0x80u} << 24;
  const uint32_t magnitude = bits & 0x7fu;
  if (magnitude == 0x7f) return std::bit_cast<float>(sign | 0x7fc00000u);
  // Exponent and mantissa land in the float's fields; the product moves the bias and makes
  // subnormals exact.
  const float scaled = std::bit_cast<float>(magnitude << 20) * 0x1p120f;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(scaled) | sign);
}

E4M3 f32_to_e4m3(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const E4M3 sign = static_cast<E4M3>((bits >> 24) & 0x80u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7fu;
  if (magnitude >= 0x43e00000u) return sign | 0x7eu;  // 448 and more
  if (magnitude < 0x3c800000u) {
    // Below 2^-6 the result is a multiple of 2^-9: adding 2^14 aligns the float's last bit with it.
    const float aligned = std::bit_cast<float>(magnitude) + 0x1p14f;
    return sign |
           static_cast<E4M3>(std::bit_cast<uint32_t>(aligned) - std::bit_cast<uint32_t>(0x1p14f));
  }
  const uint32_t rounded = magnitude + 0x7ffffu + ((magnitude >> 20) & 1u);
  return sign | static_cast<E4M3>(std::min<uint32_t>((rounded - 0x3c000000u) >> 20, 0x7eu));
}

float e8m0_to_f32(uint8_t bits) {
  if (bits == 0xff) return std::bit_cast<float>(0x7fc00000u);
  if (bits == 0) return std::bit_cast<float>(0x00400000u);  // 2^-127 is a subnormal float
  return std::bit_cast<float>(uint32_t{bits} << 23);
}

float fp8_scale(float amax, bool ue8m0) {
  const float scale = std::max(amax, 1e-4f) / 448.0f;
  if (!ue8m0) return scale;
  const uint32_t bits = std::bit_cast<uint32_t>(scale);
  const uint32_t exponent = ((bits >> 23) & 0xffu) + ((bits & 0x7fffffu) != 0 ? 1u : 0u);
  return std::bit_cast<float>(std::clamp<uint32_t>(exponent, 1, 254) << 23);
}

}  // namespace fathom
