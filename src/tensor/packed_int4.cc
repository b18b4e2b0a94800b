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
// refitted kRefits times. Measured on the default model's matrices: more of either finds less than
// 0.5 % of the error.
constexpr float kRanges[] = {1.0f, 0.92f, 0.84f, 0.76f};
constexpr int kRefits = 3;
// An error counts by 1 + kImportance * x^2 / mean(x^2): large weights move more.
constexpr float kImportance = 0.5f;

using Lanes = float __attribute__((vector_size(kLanes * sizeof(float))));

// What the fits of a group share. x is taken from the smallest value on, so that a group far from
// zero loses nothing.
struct Groups {
  std::array<Lanes, kInt4Columns> x;       // [column][row]
  std::array<Lanes, kInt4Columns> weight;  // of a squared error; 0 where no value is
  Lanes low, range;
  Lanes sum_w, sum_wx, sum_wxx;
};

// x = scale * u - min.
struct Fit {
  Lanes scale, min, error;
};

bool load_row(const float* w, int64_t n_cols, size_t lane, bool weighted, Groups& g) {
  float low = w[0], high = w[0], square = 0;
  bool usable = true;
  for (int64_t c = 0; c < n_cols; ++c) {
    usable &= std::fabs(w[c]) <= kF16Max;  // false for NaN
    low = std::min(low, w[c]);
    high = std::max(high, w[c]);
    square += w[c] * w[c];
  }
  g.low[lane] = low;
  g.range[lane] = high - low;
  const float mean_square = square / static_cast<float>(n_cols);
  for (int64_t c = 0; c < n_cols; ++c) {
    const float x = w[c] - low;
    const float weight =
        weighted && mean_square > 0 ? 1 + kImportance * (w[c] * w[c] / mean_square) : 1;
    g.x[static_cast<size_t>(c)][lane] = x;
    g.weight[static_cast<size_t>(c)][lane] = weight;
    g.sum_w[lane] += weight;
    g.sum_wx[lane] += weight * x;
    g.sum_wxx[lane] += weight * x * x;
  }
  return usable;
}

// Rounds to the codes of fit and gives the least-squares scale and minimum of those codes, with the
// error that they have.
Fit refit(const Groups& g, const Fit& fit) {
  const Lanes zero = {}, one = zero + 1, top = zero + kCodeMax;
  const Lanes inverse = fit.scale > zero ? one / fit.scale : zero;
  Lanes sum_u = {}, sum_uu = {}, sum_ux = {};
  for (size_t c = 0; c < static_cast<size_t>(kInt4Columns); ++c) {
    const Lanes x = g.x[c];
    Lanes u = ((x + fit.min) * inverse + kRoundingShift) - kRoundingShift;
    u = u < zero ? zero : u;
    u = u > top ? top : u;
    const Lanes wu = g.weight[c] * u;
    sum_u += wu;
    sum_uu += wu * u;
    sum_ux += wu * x;
  }
  const Lanes det = g.sum_w * sum_uu - sum_u * sum_u;
  // Else all codes are alike, or nearly: no line goes through them.
  const auto sloped = det > 1e-6f * g.sum_w * sum_uu;
  const Lanes scale = (g.sum_w * sum_ux - sum_u * g.sum_wx) / (sloped ? det : one);
  Fit out;
  out.scale = sloped ? scale : zero;
  out.min = (out.scale * sum_u - g.sum_wx) / g.sum_w;
  out.error = g.sum_wxx - out.scale * sum_ux + out.min * g.sum_wx;
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
void store(const Groups& g, const Fit& fit, int64_t n_cols, size_t lane, Int4Groups& out) {
  const F16 scale16 = f32_to_f16(fit.scale[lane]);
  const float scale = f16_to_f32(scale16);
  const float inverse = scale > 0 ? 1 / scale : 0;
  float sum_u = 0;
  for (int64_t c = 0; c < n_cols; ++c) {
    const auto i = static_cast<size_t>(c);
    sum_u += g.weight[i][lane] * code_of(g.x[i][lane], fit.min[lane], inverse);
  }
  const float min = (scale * sum_u - g.sum_wx[lane]) / g.sum_w[lane] - g.low[lane];
  const F16 min16 = f32_to_f16(std::clamp(min, -kF16Max, kF16Max));
  const float shifted = f16_to_f32(min16) + g.low[lane];
  out.scale[lane] = scale16;
  out.min[lane] = min16;
  for (int64_t c = 0; c < n_cols; ++c) {
    const auto i = static_cast<size_t>(c);
    out.codes[i][lane] = code_of(g.x[i][lane], shifted, inverse);
  }
}

}  // namespace

bool fit_int4(const float* w, int64_t ldw, int64_t n_rows, int64_t n_cols, Int4Fit fit,
              Int4Groups& out) {
  Groups g = {};
  bool usable = true;
  for (int64_t r = 0; r < n_rows; ++r) {
    usable &= load_row(w + r * ldw, n_cols, static_cast<size_t>(r), fit == Int4Fit::kSearched, g);
  }
  if (!usable) return false;
  for (auto l = static_cast<size_t>(n_rows); l < kLanes; ++l) g.sum_w[l] = 1;  // no division by 0
  const Fit found = fit == Int4Fit::kSearched ? search(g) : range_fit(g, 1);
  for (int64_t r = 0; r < n_rows; ++r) store(g, found, n_cols, static_cast<size_t>(r), out);
  return true;
}

}  // namespace fathom
