// Elementary functions of our own, so that tables and results are the same on every machine with
// every libm (docs/numerics.md 6). Doubles: within 1 ulp or 2 over the ranges named; used for
// tables and log-probabilities.
#pragma once

namespace fathom {

double exp_f64(double x);            // x in [-745, 709]; beyond: 0 or infinity
double log_f64(double x);            // x > 0
double pow_f64(double x, double y);  // x > 0
// |x| up to 2^27 or so (angles of positions times frequencies).
void sin_cos_f64(double x, double* sin, double* cos);

// The F32 exponential of the forward pass: the vector kernels compute the same bits in every lane.
// Relative error below 2^-22; exp_f32(-inf) = 0, results below the smallest normal are 0, overflow
// is infinity, NaN stays NaN.
float exp_f32(float x);
inline float sigmoid_f32(float x) { return 1.0f / (1.0f + exp_f32(-x)); }

}  // namespace fathom
