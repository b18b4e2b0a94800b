// Rows of an input in INT8 for AVX-512, the same bytes as ref::prepare_int8.
#pragma once

#include "kernels/quant_args.h"
#include "kernels/x86/vec_avx512.h"

namespace fathom::avx512 {
namespace {

FATHOM_INLINE void prepare_int8_tile(const PrepareInt8& args, int64_t k0) {
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  __m512i largest = _mm512_setzero_si512();
  for (int64_t i = 0; i < args.tile; i += kLanes) {
    const F32 v = load(args.x + k0 + i, first_lanes(args.k - k0 - i));
    largest = _mm512_max_epi32(largest, _mm512_and_si512(_mm512_castps_si512(v), magnitude));
  }
  const int bits = _mm512_reduce_max_epi32(largest);
  float scale = __builtin_nanf("");
  if (bits < 0x7f800000) {
    __builtin_memcpy(&scale, &bits, 4);
    scale /= 127.0f;
  }
  const Mask live = scale > 0.0f ? Mask{0xffff} : Mask{0};
  __m512i sum = _mm512_setzero_si512();
  for (int64_t i = 0; i < args.tile; i += kLanes) {
    const Mask there = first_lanes(args.k - k0 - i) & live;
    const F32 v = div(load(args.x + k0 + i, there), set1(scale));
    const F32 clamped = max(_mm512_min_ps(v, set1(127.0f)), set1(-127.0f));
    const __m512i code = _mm512_maskz_cvtps_epi32(there, clamped);
    sum = _mm512_add_epi32(sum, code);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(args.codes + k0 + i), _mm512_cvtepi32_epi8(code));
  }
  args.scales[k0 / args.tile] = scale;
  args.sums[k0 / args.tile] = _mm512_reduce_add_epi32(sum);
}

}  // namespace
}  // namespace fathom::avx512
