// From F32 masters to what the products of a trained linear layer read: FP8 blocks, BF16, and
// transposes for Dgrad (spec §3.2, §6.7). Once a step over all parameters.
#pragma once

#include <cstdint>

#include "kernels/dispatch.h"

namespace fathom {

// w [n, k] -> codes [n, k] (E4M3) and scales [ceil(n/128), ceil(k/128)], one for each block of
// 128x128 (spec §3.2; the bytes of `fathom cast --to fp8`). Values are finite.
void quantize_blocks(const Compute& compute, const float* w, int64_t n, int64_t k, bool ue8m0,
                     uint8_t* codes, float* scales);
// To nearest, ties to even; both [n].
void round_bf16(const Compute& compute, const float* w, uint16_t* out, int64_t n);

// [n, k] -> [k, n].
void transpose(const Compute& compute, const float* w, int64_t n, int64_t k, float* out);
void transpose(const Compute& compute, const uint16_t* w, int64_t n, int64_t k, uint16_t* out);
void transpose(const Compute& compute, const uint8_t* w, int64_t n, int64_t k, uint8_t* out);

}  // namespace fathom
