// The element types of weights as vectors of 8 floats, exact for every code, and the rounding to
// E4M3. A Weight* type widens kStep elements at once into kStep / kLanes vectors; widen_first reads
// only the first n (0 < n < kStep) and gives zeros for the rest.
#pragma once

#include "kernels/arm/narrow_neon.h"

namespace fathom::FATHOM_ISA_NAMESPACE {
namespace {

struct WeightF32 {
  static constexpr int64_t kStep = kLanes;
  static constexpr int64_t kBytes = 4;
  FATHOM_INLINE void widen(const char* p, F32* out) {
    // Files promise no alignment, and the loads of float do.
    const auto* bytes = reinterpret_cast<const uint8_t*>(p);
    out[0] = {vreinterpretq_f32_u8(vld1q_u8(bytes)), vreinterpretq_f32_u8(vld1q_u8(bytes + 16))};
  }
  FATHOM_INLINE void widen_first(const char* p, int64_t n, F32* out) {
    float tail[kLanes] = {};
    for (int64_t i = 0; i < n; ++i) __builtin_memcpy(tail + i, p + 4 * i, 4);
    out[0] = load(tail);
  }
};

struct WeightF16 {
  static constexpr int64_t kStep = kLanes;
  static constexpr int64_t kBytes = 2;
  FATHOM_INLINE void widen(const char* p, F32* out) { out[0] = from_f16_bits(load_u16(p, kStep)); }
  FATHOM_INLINE void widen_first(const char* p, int64_t n, F32* out) {
    out[0] = from_f16_bits(load_u16(p, n));
  }
};

struct WeightBf16 {
  static constexpr int64_t kStep = kLanes;
  static constexpr int64_t kBytes = 2;
  FATHOM_INLINE void widen(const char* p, F32* out) { out[0] = from_bf16_bits(load_u16(p, kStep)); }
  FATHOM_INLINE void widen_first(const char* p, int64_t n, F32* out) {
    out[0] = from_bf16_bits(load_u16(p, n));
  }
};

struct WeightE4m3 {
  static constexpr int64_t kStep = kLanes;
  static constexpr int64_t kBytes = 1;
  FATHOM_INLINE void widen(const char* p, F32* out) { out[0] = from_e4m3_codes(load_u8(p, kStep)); }
  FATHOM_INLINE void widen_first(const char* p, int64_t n, F32* out) {
    out[0] = from_e4m3_codes(load_u8(p, n));
  }
};

// out[i] = reduce_add(v[i]), the same sums: halves of 4, 2, 1, four vectors at once.
FATHOM_INLINE void reduce_add4(const F32* v, float* out) {
  const auto halves = [](F32 a, F32 b) __attribute__((always_inline)) {
    const float32x4_t x = vaddq_f32(a.low, a.high);
    const float32x4_t y = vaddq_f32(b.low, b.high);
    return vaddq_f32(vcombine_f32(vget_low_f32(x), vget_low_f32(y)),
                     vcombine_f32(vget_high_f32(x), vget_high_f32(y)));
  };
  vst1q_f32(out, vpaddq_f32(halves(v[0], v[1]), halves(v[2], v[3])));
}

// The E4M3 value nearest to v as a float, ties to even, saturated at 448, NaN stays NaN: as
// f32_to_e4m3.
FATHOM_INLINE float32x4_t round_e4m3_4(float32x4_t v) {
  const uint32x4_t sign = vandq_u32(vreinterpretq_u32_f32(v), vdupq_n_u32(0x80000000u));
  const float32x4_t magnitude = vabsq_f32(v);
  // From 2^-6 on, three bits of mantissa; below, multiples of 2^-9, to which adding 2^14 aligns the
  // last bit.
  const uint32x4_t bits = vreinterpretq_u32_f32(magnitude);
  const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 20), vdupq_n_u32(1));
  const uint32x4_t rounded = vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7ffff)), odd);
  const uint32x4_t cut = vandq_u32(rounded, vdupq_n_u32(0xfff00000u));
  const float32x4_t normal = min4(vreinterpretq_f32_u32(cut), vdupq_n_f32(448.0f));
  const float32x4_t shift = vdupq_n_f32(0x1p14f);
  const float32x4_t tiny = vsubq_f32(vaddq_f32(magnitude, shift), shift);
  const float32x4_t value = vbslq_f32(vcltq_f32(magnitude, vdupq_n_f32(0x1p-6f)), tiny, normal);
  const uint32x4_t known =
      vbslq_u32(vceqq_f32(v, v), vreinterpretq_u32_f32(value), vdupq_n_u32(0x7fc00000u));
  return vreinterpretq_f32_u32(vorrq_u32(known, sign));
}
FATHOM_INLINE F32 round_e4m3(F32 v) { return {round_e4m3_4(v.low), round_e4m3_4(v.high)}; }

// The codes of values that E4M3 has.
FATHOM_INLINE uint32x4_t e4m3_codes_4(float32x4_t v) {
  const uint32x4_t bits = vreinterpretq_u32_f32(v);
  const uint32x4_t magnitude = vandq_u32(bits, vdupq_n_u32(0x7fffffffu));
  const uint32x4_t normal = vsubq_u32(vshrq_n_u32(magnitude, 20), vdupq_n_u32(960));
  const uint32x4_t tiny = vcvtq_u32_f32(vmulq_n_f32(vabsq_f32(v), 512.0f));  // multiples of 2^-9
  uint32x4_t code = vbslq_u32(vcltq_u32(magnitude, vdupq_n_u32(0x3c800000u)), tiny, normal);
  code = vbslq_u32(vcgtq_u32(magnitude, vdupq_n_u32(0x7f800000u)), vdupq_n_u32(0x7fu), code);
  return vorrq_u32(code, vandq_u32(vshrq_n_u32(bits, 24), vdupq_n_u32(0x80u)));
}
FATHOM_INLINE void store_e4m3(uint8_t* p, F32 v, Mask m) {
  const uint16x8_t codes =
      vcombine_u16(vmovn_u32(e4m3_codes_4(v.low)), vmovn_u32(e4m3_codes_4(v.high)));
  uint8_t lanes[kLanes];
  vst1_u8(lanes, vmovn_u16(codes));
  for (int64_t i = 0; i < m.lanes; ++i) p[i] = lanes[i];
}

}  // namespace
}  // namespace fathom::FATHOM_ISA_NAMESPACE
