// Vectors run over rows, so that no sum depends on how wide those of the machine are.
#include "tensor/packed_int4.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace fathom {

namespace {

constexpr float kF16Max = 65504;
constexpr float kCodeMax = 15;
constexpr size_t kLanes = static_cast<size_t>(kInt4Lanes);

// The searched ranges, as parts of [smallest, largest], about the middle; each is rounded and
// refitted kRefits times. Six times as many passes find 1.4 % less error (normal weights).
constexpr float kRanges[] = {1.0f, 0.92f, 0.84f, 0.76f};
constexpr int kRefits = 3;
using Lanes = float __attribute__((vector_size(kLanes * sizeof(float))));

// What the fits of a group share. x is taken from the smallest value on, so that a group far from
// zero loses nothing.
struct Groups {
  std::array<Lanes, kInt4Columns> x;  // [column][row]
  size_t n_cols;
  Lanes low, range;
  Lanes sum_x, sum_xx;
};

// x = scale * u - min.
struct Fit {
  Lanes scale, min, error;
};

bool load_row(const float* w, size_t lane, Groups& g) {
  float low = w[0], high = w[0];
  bool usable = true;
  for (size_t c = 0; c < g.n_cols; ++c) {
    usable &= std::fabs(w[c]) <= kF16Max;  // false for NaN
    low = std::min(low, w[c]);
    high = std::max(high, w[c]);
  }
  g.low[lane] = low;
  g.range[lane] = high - low;
  for (size_t c = 0; c < g.n_cols; ++c) g.x[c][lane] = w[c] - low;
  return usable;
}

// Rounds to the codes of fit and gives the least-squares scale and minimum of those codes, with the
// error that they have.
Fit refit(const Groups& g, const Fit& fit) {
  const Lanes zero = {}, one = zero + 1, top = zero + kCodeMax;
  const Lanes inverse = fit.scale > zero ? one / fit.scale : zero;
  Lanes sum_u = {}, sum_uu = {}, sum_ux = {};
  for (size_t c = 0; c < g.n_cols; ++c) {
    const Lanes x = g.x[c];
    Lanes u = ((x + fit.min) * inverse + kRoundingShift) - kRoundingShift;
    u = u < zero ? zero : u;
    u = u > top ? top : u;
    sum_u += u;
    sum_uu += u * u;
    sum_ux += u * x;
  }
  const auto n = static_cast<float>(g.n_cols);
  const Lanes det = n * sum_uu - sum_u * sum_u;
  // Else all codes are alike, or nearly: no line goes through them.
  const auto sloped = det > 1e-6f * n * sum_uu;
  const Lanes scale = (n * sum_ux - sum_u * g.sum_x) / (sloped ? det : one);
  Fit out;
  out.scale = sloped ? scale : zero;
  out.min = (out.scale * sum_u - g.sum_x) / n;
  out.error = g.sum_xx - out.scale * sum_ux + out.min * g.sum_x;
  return out;
}

Fit range_fit(const Groups& g, float part) {
  Fit fit;
  fit.scale = g.range * part / kCodeMax;
  fit.min = -0.5f * (1 - part) * g.range;
  fit.error = Lanes{} + std::numeric_limits<float>::max();
  return fit;
}

Fit search(const Groups& g) {
  Fit best = range_fit(g, 1);
  for (const float part : kRanges) {
    Fit fit = range_fit(g, part);
    for (int i = 0; i < kRefits; ++i) {
      fit = refit(g, fit);
      const auto better = fit.error < best.error;
      best.scale = better ? fit.scale : best.scale;
      best.min = better ? fit.min : best.min;
      best.error = better ? fit.error : best.error;
    }
  }
  return best;
}

uint8_t code_of(float x, float min, float inverse) {
  return static_cast<uint8_t>(std::clamp(round_to_integer((x + min) * inverse), 0.0f, kCodeMax));
}

// Rounds scale and minimum to F16, the minimum once more by least squares for the rounded scale,
// and takes the nearest codes of both.
void store(const Groups& g, const Fit& fit, size_t lane, Int4Groups& out) {
  const F16 scale16 = f32_to_f16(fit.scale[lane]);
  const float scale = f16_to_f32(scale16);
  const float inverse = scale > 0 ? 1 / scale : 0;
  float sum_u = 0;
  for (size_t c = 0; c < g.n_cols; ++c) sum_u += code_of(g.x[c][lane], fit.min[lane], inverse);
  const float min = (scale * sum_u - g.sum_x[lane]) / static_cast<float>(g.n_cols) - g.low[lane];
  const F16 min16 = f32_to_f16(std::clamp(min, -kF16Max, kF16Max));
  const float shifted = f16_to_f32(min16) + g.low[lane];
  out.scale[lane] = scale16;
  out.min[lane] = min16;
  for (size_t c = 0; c < g.n_cols; ++c)
    out.codes[c][lane] = code_of(g.x[c][lane], shifted, inverse);
}

}  // namespace

bool fit_int4(const float* w, int64_t ldw, int64_t n_rows, int64_t n_cols, Int4Fit fit,
              Int4Groups& out) {
  Groups g = {};
  g.n_cols = static_cast<size_t>(n_cols);
  bool usable = true;
  for (int64_t r = 0; r < n_rows; ++r) usable &= load_row(w + r * ldw, static_cast<size_t>(r), g);
  if (!usable) return false;
  for (size_t c = 0; c < g.n_cols; ++c) {
    g.sum_x += g.x[c];
    g.sum_xx += g.x[c] * g.x[c];
  }
  const Fit found = fit == Int4Fit::kSearched ? search(g) : range_fit(g, 1);
  for (int64_t r = 0; r < n_rows; ++r) store(g, found, static_cast<size_t>(r), out);
  return true;
}

}  // namespace fathom
