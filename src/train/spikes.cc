#include "train/spikes.h"

#include <algorithm>
#include <cmath>

namespace fathom {
namespace {

constexpr double kDecay = 0.98;  // of mean and variance: some 50 steps
// Of the mean: a quiet run has a small deviation, and not every twitch is a spike.
constexpr double kDeviationMin = 0.01;

}  // namespace

bool SpikeDetector::observe(double loss, SpikeState& state) const {
  if (!std::isfinite(loss)) return true;
  if (factor_ > 0 && state.n_seen >= warmup_steps_) {
    const double deviation =
        std::max(std::sqrt(state.variance), kDeviationMin * std::fabs(state.mean));
    if (loss > state.mean + factor_ * deviation) {
      if (++state.n_in_row <= kInRowMax) return true;
      state.forget_level();
    }
  }
  state.n_in_row = 0;
  const double rest = state.n_seen == 0 ? 1.0 : 1.0 - kDecay;
  const double difference = loss - state.mean;
  state.mean += rest * difference;
  state.variance = (1.0 - rest) * (state.variance + rest * difference * difference);
  ++state.n_seen;
  return false;
}

}  // namespace fathom
