// The limits of AVX2: loads of 32 bytes, fma, and VPMADDUBSW with VPMADDWD in registers.
#include "kernels/machine_limits_args.h"
#include "kernels/x86/vec_avx2.h"

namespace fathom::avx2 {

namespace {
constexpr int kSums = 12;  // more than latency times throughput of any of these instructions

// Tells the compiler that the value may have changed, so that the loop stays a loop.
template <typename V>
FATHOM_INLINE void opaque(V& value) {
  asm volatile("" : "+x"(value));
}
}  // namespace

uint64_t limit_read(const uint8_t* data, int64_t bytes) {
  __m256i sums[8];
  for (__m256i& sum : sums) sum = _mm256_setzero_si256();
  for (int64_t i = 0; i < bytes; i += 256) {
    FATHOM_UNROLL for (int j = 0; j < 8; ++j) {
      const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(data + i + 32 * j));
      sums[j] = _mm256_add_epi64(sums[j], v);
    }
  }
  for (int j = 1; j < 8; ++j) sums[0] = _mm256_add_epi64(sums[0], sums[j]);
  alignas(32) uint64_t lanes[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), sums[0]);
  return lanes[0] + lanes[1] + lanes[2] + lanes[3];
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

int64_t limit_bf16(int64_t steps, float* sink) { return limit_fp32(steps, sink); }

int64_t limit_int8(int64_t steps, float* sink) {
  __m256i sums[kSums];
  for (__m256i& sum : sums) sum = _mm256_setzero_si256();
  __m256i bytes = _mm256_set1_epi8(1), words = _mm256_set1_epi16(1);
  for (int64_t i = 0; i < steps; ++i) {
    FATHOM_UNROLL for (int j = 0; j < kSums; ++j) {
      __m256i pairs = _mm256_maddubs_epi16(bytes, bytes);
      opaque(pairs);
      sums[j] = _mm256_add_epi32(sums[j], _mm256_madd_epi16(pairs, words));
    }
    opaque(bytes);
  }
  alignas(32) int32_t lanes[kLanes];
  for (int j = 1; j < kSums; ++j) sums[0] = _mm256_add_epi32(sums[0], sums[j]);
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), sums[0]);
  for (int32_t lane : lanes) *sink += static_cast<float>(lane);
  return steps * kSums * kLanes * 8;
}

}  // namespace fathom::avx2
