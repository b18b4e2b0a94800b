// The numbers of exp_f32, shared by its scalar (math.cc) and vector (vec_*.h) forms so that
// both do the same operations on the same constants. Constants only: this header also enters the
// files of one instruction set.
//
//   n = round(x / ln 2), ties to even;  r = fma(-n, kLn2Low, fma(-n, kLn2High, x))
//   q = c0 + c1 r + ... + c4 r^4 by fma, highest first;  p = 1 + fma(q, r * r, r);  exp(x) = p *
//   2^n
//
// c0..c4 interpolate (exp(r) - 1 - r) / r^2 at the Chebyshev nodes of |r| <= 0.3466: error of the
// polynomial 1.1e-8 of the result, less than a fifth of the F32 rounding.
#pragma once

namespace fathom::exp_constants {

constexpr float kInvLn2 = 0x1.715476p+0f;
constexpr float kLn2High = 0x1.62e430p-1f;
constexpr float kLn2Low = -0x1.05c610p-29f;
constexpr float kC0 = 0x1.000000p-1f;
constexpr float kC1 = 0x1.5554dcp-3f;
constexpr float kC2 = 0x1.55551ap-5f;
constexpr float kC3 = 0x1.120b6cp-7f;
constexpr float kC4 = 0x1.6d1106p-10f;
// Below kMin the result would be under the smallest normal and is 0; kMax and above give infinity.
constexpr float kMin = -0x1.5d589ep+6f;  // -87.33654...
constexpr float kMax = 89.0f;

}  // namespace fathom::exp_constants
