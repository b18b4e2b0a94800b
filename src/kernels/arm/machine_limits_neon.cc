// The limits of NEON: loads of 16 bytes, fma, and SMULL with SADALP in registers.
#include "kernels/arm/vec_neon.h"
#include "kernels/machine_limits_args.h"

namespace fathom::neon {

namespace {
constexpr int kSums = 16;  // at least latency times throughput of any of these instructions

// Tells the compiler that the value may have changed, so that the loop stays a loop.
template <typename V>
FATHOM_INLINE void opaque(V& value) {
  asm volatile("" : "+w"(value));
}
}  // namespace

uint64_t limit_read(const uint8_t* data, int64_t bytes) {
  uint64x2_t sums[8];
  for (uint64x2_t& sum : sums) sum = vdupq_n_u64(0);
  for (int64_t i = 0; i < bytes; i += 128) {
    FATHOM_UNROLL for (int j = 0; j < 8; ++j) {
      sums[j] = vaddq_u64(sums[j], vreinterpretq_u64_u8(vld1q_u8(data + i + 16 * j)));
    }
  }
  for (int j = 1; j < 8; ++j) sums[0] = vaddq_u64(sums[0], sums[j]);
  return vgetq_lane_u64(sums[0], 0) + vgetq_lane_u64(sums[0], 1);
}

int64_t limit_fp32(int64_t steps, float* sink) {
  float32x4_t sums[kSums];
  for (float32x4_t& sum : sums) sum = vdupq_n_f32(1.0f);
  float32x4_t factor = vdupq_n_f32(0.5f);
  for (int64_t i = 0; i < steps; ++i) {
    FATHOM_UNROLL for (int j = 0; j < kSums; ++j) sums[j] = vfmaq_f32(factor, sums[j], factor);
    opaque(factor);
  }
  for (int j = 0; j < kSums; ++j) *sink += vaddvq_f32(sums[j]);
  return steps * kSums * 4 * 2;
}

int64_t limit_bf16(int64_t steps, float* sink) { return limit_fp32(steps, sink); }

int64_t limit_int8(int64_t steps, float* sink) {
  int32x4_t sums[kSums];
  for (int32x4_t& sum : sums) sum = vdupq_n_s32(0);
  int8x8_t bytes = vdup_n_s8(1);
  for (int64_t i = 0; i < steps; ++i) {
    FATHOM_UNROLL for (int j = 0; j < kSums; ++j) {
      int16x8_t products = vmull_s8(bytes, bytes);
      opaque(products);
      sums[j] = vpadalq_s16(sums[j], products);
    }
    opaque(bytes);
  }
  for (int j = 0; j < kSums; ++j) *sink += static_cast<float>(vaddvq_s32(sums[j]));
  return steps * kSums * 8 * 2;
}

}  // namespace fathom::neon
