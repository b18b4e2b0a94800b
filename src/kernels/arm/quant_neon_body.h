// Integer weights for NEON: products of a line of codes with 4 codes of x, by SDOT where the file
// is compiled for it, otherwise by SMULL and SADALP. Sums are exact, so both give the same bytes.
#pragma once

#include "kernels/arm/narrow_neon.h"

// Written against the names above.
#include "kernels/simd/quant_panel.h"
#include "kernels/simd/quant_unpack_body.h"

namespace fathom::FATHOM_ISA_NAMESPACE {

namespace {

// Products are signed: codes u are taken as u - 128, a difference that the sum of x makes good.
constexpr int32_t kShift = 128;
FATHOM_INLINE int8x16_t load_codes(const uint8_t* p) {  // 4 lanes of 4 k
  return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(p), vdupq_n_u8(0x80)));
}
FATHOM_INLINE int8x16_t broadcast4(const int8_t* p) {
  int32_t four = 0;
  __builtin_memcpy(&four, p, 4);
  return vreinterpretq_s8_s32(vdupq_n_s32(four));
}

// The sums of 16 lanes over a group.
#if defined(__ARM_FEATURE_DOTPROD)

using Steps = RowSteps<4, 1>;

struct LaneSums {
  int32x4_t lanes[4];
  FATHOM_INLINE void clear(LaneSums& s) {
    FATHOM_UNROLL for (int j = 0; j < 4; ++j) s.lanes[j] = vdupq_n_s32(0);
  }
  // Two lines of lanes 4 j ... 4 j + 3, each times its 4 codes of x.
  FATHOM_INLINE void add(LaneSums& s, int j, const int8x16_t (&codes)[2], const int8x16_t (&x)[2]) {
    s.lanes[j] = vdotq_s32(vdotq_s32(s.lanes[j], codes[0], x[0]), codes[1], x[1]);
  }
  FATHOM_INLINE int32x4_t total(const LaneSums& s, int j) { return s.lanes[j]; }
};

#else

using Steps = RowSteps<2, 1>;

struct LaneSums {
  int32x4_t halves[4][2];  // two partial sums of each of two lanes
  FATHOM_INLINE void clear(LaneSums& s) {
    FATHOM_UNROLL for (int j = 0; j < 4; ++j) s.halves[j][0] = s.halves[j][1] = vdupq_n_s32(0);
  }
  // Two products of at most 128 * 127 fit 16 bits.
  FATHOM_INLINE void add(LaneSums& s, int j, const int8x16_t (&codes)[2], const int8x16_t (&x)[2]) {
    int16x8_t low = vmull_s8(vget_low_s8(codes[0]), vget_low_s8(x[0]));
    int16x8_t high = vmull_high_s8(codes[0], x[0]);
    low = vmlal_s8(low, vget_low_s8(codes[1]), vget_low_s8(x[1]));
    high = vmlal_high_s8(high, codes[1], x[1]);
    s.halves[j][0] = vpadalq_s16(s.halves[j][0], low);
    s.halves[j][1] = vpadalq_s16(s.halves[j][1], high);
  }
  FATHOM_INLINE int32x4_t total(const LaneSums& s, int j) {
    return vpaddq_s32(s.halves[j][0], s.halves[j][1]);
  }
};

#endif

constexpr int kPanels = 1;
constexpr int64_t kPanelsRowsMin = 0;
template <int>
constexpr Steps row_steps() {
  return {};
}

template <int R, int kGroup, bool kMinimum>
[[gnu::noinline]] void add_chunk(const QuantView (&views)[1], const BlockOfRows& rows, int64_t i,
                                 int64_t k0, int64_t n_groups, int32_t offset,
                                 const PanelSums<1>& states) {
  const QuantView& view = views[0];
  float(*const state)[kPanelWidth] = states[0];
  const int64_t g0 = k0 / kGroup;
  for (int64_t g = 0; g < n_groups; ++g) {
    const uint8_t* lines = view.lines + g * kGroup * kPanelWidth;
    LaneSums sums[R];
    FATHOM_UNROLL for (int r = 0; r < R; ++r) LaneSums::clear(sums[r]);
    for (int64_t k = 0; k < kGroup; k += 8) {
      int8x16_t x[R][2];
      FATHOM_UNROLL for (int r = 0; r < R; ++r) {
        const int8_t* from = rows.x[i + r] + k0 + g * kGroup + k;
        x[r][0] = broadcast4(from);
        x[r][1] = broadcast4(from + 4);
      }
      FATHOM_UNROLL for (int j = 0; j < 4; ++j) {
        const uint8_t* from = lines + k * kPanelWidth + 16 * j;
        const int8x16_t codes[2] = {load_codes(from), load_codes(from + 64)};
        FATHOM_UNROLL for (int r = 0; r < R; ++r) LaneSums::add(sums[r], j, codes, x[r]);
      }
    }
    FATHOM_UNROLL for (int r = 0; r < R; ++r) {
      const int32_t x_sum = rows.sums[i + r][g0 + g];
      const int32x4_t rest = vdupq_n_s32((kShift - offset) * x_sum);
      const F32 x_scale = set1(rows.scales[i + r][g0 + g]);
      FATHOM_UNROLL for (int h = 0; h < 2; ++h) {
        const F32 sum = {vcvtq_f32_s32(vaddq_s32(LaneSums::total(sums[r], 2 * h), rest)),
                         vcvtq_f32_s32(vaddq_s32(LaneSums::total(sums[r], 2 * h + 1), rest))};
        const int64_t at = g * kPanelWidth + h * kLanes;
        F32 acc = load(state[r] + h * kLanes);
        acc = fma(sum, mul(x_scale, load(view.scales + at)), acc);
        if constexpr (kMinimum) {
          acc = fnma(set1(static_cast<float>(x_sum)), mul(x_scale, load(view.minima + at)), acc);
        }
        store(state[r] + h * kLanes, acc);
      }
    }
  }
}

FATHOM_INLINE void prepare_int8_tile(const PrepareInt8& args, int64_t k0) {
  const auto magnitudes = [](float32x4_t v) __attribute__((always_inline)) {
    return vreinterpretq_u32_f32(vabsq_f32(v));
  };
  // As integers, magnitudes are in order, and what is not finite is above all others.
  uint32x4_t largest = vdupq_n_u32(0);
  for (int64_t i = 0; i < args.tile; i += kLanes) {
    const F32 v = load(args.x + k0 + i, first_lanes(args.k - k0 - i));
    largest = vmaxq_u32(largest, vmaxq_u32(magnitudes(v.low), magnitudes(v.high)));
  }
  const uint32_t bits = vmaxvq_u32(largest);
  float scale = __builtin_nanf("");
  if (bits < 0x7f800000u) {
    __builtin_memcpy(&scale, &bits, 4);
    scale /= 127.0f;
  }
  const auto codes_of = [scale](float32x4_t v) __attribute__((always_inline)) {
    const float32x4_t limit = vdupq_n_f32(127.0f);
    const float32x4_t code = vdivq_f32(v, vdupq_n_f32(scale));
    return vcvtnq_s32_f32(max4(min4(code, limit), vnegq_f32(limit)));
  };
  int32x4_t sum = vdupq_n_s32(0);
  for (int64_t i = 0; i < args.tile; i += kLanes) {
    int8x8_t codes = vdup_n_s8(0);
    if (scale > 0.0f && k0 + i < args.k) {
      const F32 v = load(args.x + k0 + i, first_lanes(args.k - k0 - i));
      const int32x4_t low = codes_of(v.low), high = codes_of(v.high);
      sum = vaddq_s32(sum, vaddq_s32(low, high));
      codes = vmovn_s16(vcombine_s16(vmovn_s32(low), vmovn_s32(high)));
    }
    vst1_s8(args.codes + k0 + i, codes);
  }
  args.scales[k0 / args.tile] = scale;
  args.sums[k0 / args.tile] = vaddvq_s32(sum);
}

}  // namespace
}  // namespace fathom::FATHOM_ISA_NAMESPACE

#include "kernels/simd/quant_body.h"
