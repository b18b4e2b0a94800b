// Finds spikes of the loss: a step whose loss is not finite, or far above the running mean by the
// measure of its running deviation. Its state is part of a checkpoint, so that a resumed run sees
// the same spikes.
#pragma once

#include <cstdint>

namespace fathom {

struct SpikeState {
  int64_t n_seen = 0;
  double mean = 0;       // running, of the losses that were no spikes
  double variance = 0;   // running
  int64_t n_in_row = 0;  // finite spikes up to the last step
  int64_t n_rollbacks = 0;

  // The losses to come are of another level: other text. Counted as from the run's beginning.
  void forget_level() { *this = {.n_rollbacks = n_rollbacks}; }
};

class SpikeDetector {
 public:
  // After so many in a row it is no spike, but a new level.
  static constexpr int64_t kInRowMax = 5;

  // factor 0 finds only losses that are not finite.
  SpikeDetector(double factor, int64_t warmup_steps)
      : factor_(factor), warmup_steps_(warmup_steps) {}

  // Whether loss, of the step after those seen, is a spike; else it is seen.
  bool observe(double loss, SpikeState& state) const;

 private:
  double factor_;
  int64_t warmup_steps_;
};

}  // namespace fathom
