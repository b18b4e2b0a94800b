// The limits of AVX-512: loads of 64 bytes, fma, VDPBF16PS and VPDPBUSD in registers.
#include "kernels/machine_limits_args.h"
#include "kernels/x86/vec_avx512.h"

namespace fathom::avx512 {

namespace {
constexpr int kSums = 12;  // more than latency times throughput of any of these instructions

// Tells the compiler that the value may have changed, so that the loop stays a loop.
template <typename V>
FATHOM_INLINE void opaque(V& value) {
  asm volatile("" : "+v"(value));
}
}  // namespace

uint64_t limit_read(const uint8_t* data, int64_t bytes) {
  __m512i sums[8];
  for (__m512i& sum : sums) sum = _mm512_setzero_si512();
  for (int64_t i = 0; i < bytes; i += 512) {
    FATHOM_UNROLL for (int j = 0; j < 8; ++j) {
      sums[j] = _mm512_add_epi64(sums[j], _mm512_loadu_si512(data + i + 64 * j));
    }
  }
  for (int j = 1; j < 8; ++j) sums[0] = _mm512_add_epi64(sums[0], sums[j]);
  return static_cast<uint64_t>(_mm512_reduce_add_epi64(sums[0]));
}

int64_t limit_fp32(int64_t steps, float* sink) {
  F32 sums[kSums];
  for (F32& sum : sums) sum = set1(1.0f);
  F32 factor = set1(0.5f);
  for (int64_t i = 0; i < steps; ++i) {
    FATHOM_UNROLL for (int j = 0; j < kSums; ++j) sums[j] = fma(sums[j], factor, factor);
    opaque(factor);
  }
  for (int j = 0; j < kSums; ++j) *sink += reduce_add(sums[j]);
  return steps * kSums * kLanes * 2;
}

int64_t limit_bf16(int64_t steps, float* sink) {
  F32 sums[kSums];
  for (F32& sum : sums) sum = zero();
  __m512i ones = _mm512_set1_epi16(0x3f80);
  for (int64_t i = 0; i < steps; ++i) {
    FATHOM_UNROLL for (int j = 0; j < kSums; ++j) {
      sums[j] = _mm512_dpbf16_ps(sums[j], reinterpret_cast<__m512bh>(ones),
                                 reinterpret_cast<__m512bh>(ones));
    }
    opaque(ones);
  }
  for (int j = 0; j < kSums; ++j) *sink += reduce_add(sums[j]);
  return steps * kSums * kLanes * 4;
}

int64_t limit_int8(int64_t steps, float* sink) {
  __m512i sums[kSums];
  for (__m512i& sum : sums) sum = _mm512_setzero_si512();
  __m512i ones = _mm512_set1_epi8(1);
  for (int64_t i = 0; i < steps; ++i) {
    FATHOM_UNROLL for (int j = 0; j < kSums; ++j) sums[j] =
        _mm512_dpbusd_epi32(sums[j], ones, ones);
    opaque(ones);
  }
  for (int j = 0; j < kSums; ++j) *sink += static_cast<float>(_mm512_reduce_add_epi32(sums[j]));
  return steps * kSums * kLanes * 8;
}

}  // namespace fathom::avx512
