// Types of 16 and 8 bits as vectors of 8 floats and back: F16, BF16, E4M3, and pairs of BF16.
#pragma once

#include "kernels/arm/vec_neon.h"

namespace fathom::FATHOM_ISA_NAMESPACE {

// The first n of 8 elements of 16 or 8 bits, zeros behind them.
FATHOM_INLINE uint16x8_t load_u16(const void* p, int64_t n) {
  uint16_t tail[8] = {};
  if (n == 8) {
    __builtin_memcpy(tail, p, 16);
  } else {
    for (int64_t i = 0; i < n; ++i)
      __builtin_memcpy(tail + i, static_cast<const char*>(p) + 2 * i, 2);
  }
  return vld1q_u16(tail);
}
FATHOM_INLINE uint8x8_t load_u8(const void* p, int64_t n) {
  const auto* bytes = static_cast<const uint8_t*>(p);
  if (n == 8) return vld1_u8(bytes);
  uint8_t tail[8] = {};
  for (int64_t i = 0; i < n; ++i) tail[i] = bytes[i];
  return vld1_u8(tail);
}

// BF16 to F32 (exact) and back (ties to even, NaN stays NaN), as tensor/numeric.h defines them.
FATHOM_INLINE F32 from_bf16_bits(uint16x8_t bits) {
  return {vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(bits), 16)),
          vreinterpretq_f32_u32(vshll_high_n_u16(bits, 16))};
}
FATHOM_INLINE F32 load_bf16(const uint16_t* p, Mask m) {
  return from_bf16_bits(load_u16(p, m.lanes));
}
FATHOM_INLINE uint32x4_t bf16_bits4(float32x4_t x) {  // in the high half of each 32-bit lane
  const uint32x4_t bits = vreinterpretq_u32_f32(x);
  const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
  const uint32x4_t rounded = vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), odd);
  const uint32x4_t quiet = vorrq_u32(bits, vdupq_n_u32(0x400000));
  return vandq_u32(vbslq_u32(vceqq_f32(x, x), rounded, quiet), vdupq_n_u32(0xffff0000u));
}
FATHOM_INLINE F32 round_bf16(F32 x) {
  return {vreinterpretq_f32_u32(bf16_bits4(x.low)), vreinterpretq_f32_u32(bf16_bits4(x.high))};
}
FATHOM_INLINE void store_bf16(uint16_t* p, F32 x, Mask m) {
  const uint16x8_t packed =
      vshrn_high_n_u32(vshrn_n_u32(bf16_bits4(x.low), 16), bf16_bits4(x.high), 16);
  if (m.lanes == kLanes) return vst1q_u16(p, packed);
  uint16_t tail[8];
  vst1q_u16(tail, packed);
  for (int64_t i = 0; i < m.lanes; ++i) p[i] = tail[i];
}

FATHOM_INLINE F32 from_f16_bits(uint16x8_t bits) {
  const float16x8_t halves = vreinterpretq_f16_u16(bits);
  return {vcvt_f32_f16(vget_low_f16(halves)), vcvt_high_f32_f16(halves)};
}
FATHOM_INLINE F32 load_f16(const uint16_t* p, Mask m) {
  return from_f16_bits(load_u16(p, m.lanes));
}

// E4M3 to F32 (exact) by way of F16, which holds every E4M3 value times 2^-8.
FATHOM_INLINE F32 from_e4m3_codes(uint8x8_t codes) {
  // The sign in bits 15 and 14.
  const uint16x8_t words = vreinterpretq_u16_s16(vshll_n_s8(vreinterpret_s8_u8(codes), 7));
  const uint16x8_t halves = vandq_u16(words, vdupq_n_u16(0xbf80));
  const uint16x8_t last = vdupq_n_u16(0x3f80);
  const uint16x8_t nan = vceqq_u16(vandq_u16(words, last), last);
  const uint16x8_t bits = vorrq_u16(halves, vandq_u16(nan, vdupq_n_u16(0x7e00)));
  return mul(from_f16_bits(bits), set1(256.0f));
}
FATHOM_INLINE F32 load_e4m3(const uint8_t* p, Mask m) {
  return from_e4m3_codes(load_u8(p, m.lanes));
}

// Two BF16 values of a unit of 32 bits at a time: fma(a.high, b.high, fma(a.low, b.low, acc)).
FATHOM_INLINE float32x4_t pair_low(float32x4_t x) {
  return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(x), 16));
}
FATHOM_INLINE float32x4_t pair_high(float32x4_t x) {
  return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(x), vdupq_n_u32(0xffff0000u)));
}
FATHOM_INLINE float32x4_t dot_pairs4(float32x4_t acc, float32x4_t a, float32x4_t b) {
  return vfmaq_f32(vfmaq_f32(acc, pair_low(a), pair_low(b)), pair_high(a), pair_high(b));
}
FATHOM_INLINE F32 dot_pairs(F32 acc, F32 a, F32 b) {
  return {dot_pairs4(acc.low, a.low, b.low), dot_pairs4(acc.high, a.high, b.high)};
}
// The unit with its upper BF16 value cleared.
FATHOM_INLINE F32 low_of_pairs(F32 x) {
  const uint32x4_t keep = vdupq_n_u32(0xffff);
  return {vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(x.low), keep)),
          vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(x.high), keep))};
}
// Units from rows of BF16: low[i] and high[i]; high may be null for zero.
FATHOM_INLINE F32 make_pairs(const uint16_t* low, const uint16_t* high, Mask m) {
  const uint16x8_t a = load_u16(low, m.lanes);
  const uint16x8_t b = high == nullptr ? vdupq_n_u16(0) : load_u16(high, m.lanes);
  return {vreinterpretq_f32_u16(vzip1q_u16(a, b)), vreinterpretq_f32_u16(vzip2q_u16(a, b))};
}

}  // namespace fathom::FATHOM_ISA_NAMESPACE
