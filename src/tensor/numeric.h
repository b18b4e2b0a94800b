// Scalar conversions between F32 and the narrow formats, exact and with ties to even. These are the
// definition; the vector kernels are tested against them for every code.
// E4M3 is float8_e4m3fn (spec §3.1): bias 7, no infinities, 0x7f and 0xff are NaN, largest 448.
#pragma once

#include <bit>
#include <cstdint>

namespace fathom {

using Bf16 = uint16_t;  // bits of a bfloat16
using F16 = uint16_t;   // bits of an IEEE half
using E4M3 = uint8_t;   // bits of a float8_e4m3fn

inline float bf16_to_f32(Bf16 bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

// Ties to even; NaN stays NaN (quiet).
inline Bf16 f32_to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<Bf16>((bits >> 16) | 0x40u);
  return static_cast<Bf16>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
inline float round_to_bf16(float value) { return bf16_to_f32(f32_to_bf16(value)); }

float f16_to_f32(F16 bits);
F16 f32_to_f16(float value);

float e4m3_to_f32(E4M3 bits);
// Ties to even; finite values beyond 448 saturate to +-448; NaN gives NaN.
E4M3 f32_to_e4m3(float value);

// E8M0: 2^(bits - 127); 0xff is NaN.
float e8m0_to_f32(uint8_t bits);

// The scale of a tile whose largest magnitude is amax (spec §3.2-3.4): max(amax, 1e-4) / 448, or
// with ue8m0 that rounded up to a power of two.
float fp8_scale(float amax, bool ue8m0);

}  // namespace fathom
