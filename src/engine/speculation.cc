#include "engine/speculation.h"

#include <algorithm>
#include <bit>

namespace fathom {

namespace {

constexpr double kNewest = 0.1;
constexpr int64_t kProbeEvery = 16;   // steps
constexpr int64_t kEnough = 4;        // values of each time before anything is decided
constexpr int64_t kPlainFor = 2'000;  // steps without drafts before they are tried again
constexpr double kWorth = 1.02;       // what drafts must give at least

}  // namespace

void SpeculationMeter::Mean::add(double x) {
  value = n == 0 ? x : value + kNewest * (x - value);
  ++n;
}

size_t SpeculationMeter::index(int64_t n_answers) {
  const auto log = std::bit_width(static_cast<uint64_t>(n_answers)) - 1;
  return std::min<size_t>(static_cast<size_t>(log), 15);
}

double SpeculationMeter::gain(int64_t n_answers) const {
  const Size& size = sizes_[index(n_answers)];
  if (std::min({size.plain.n, size.with_drafts.n, size.module.n}) < kEnough) return 0;
  return (1 + acceptance_) * size.plain.value / (size.with_drafts.value + size.module.value);
}

SpeculationMeter::Step SpeculationMeter::next(int64_t n_answers) {
  Size& size = sizes_[index(n_answers)];
  if (size.plain_left > 0) {
    if (--size.plain_left == 0) size = {};
    return Step::kPlain;
  }
  const double known = gain(n_answers);
  if (known > 0 && known < kWorth) {
    size.plain_left = kPlainFor;
    return Step::kPlain;
  }
  return ++size.steps % kProbeEvery == 0 || (size.steps % 4 == 0 && size.plain.n < kEnough)
             ? Step::kProbe
             : Step::kDraft;
}

void SpeculationMeter::record(Step step, int64_t n_answers, double pass_seconds,
                              double draft_seconds) {
  Size& size = sizes_[index(n_answers)];
  if (step == Step::kPlain) return;
  (step == Step::kDraft ? size.with_drafts : size.plain).add(pass_seconds);
  size.module.add(draft_seconds);
}

// The first hundred drafts weigh alike; later ones as kNewest of a hundred.
void SpeculationMeter::record_drafts(int64_t n_drafted, int64_t n_accepted) {
  if (n_drafted == 0) return;
  n_drafted_ = std::min<int64_t>(n_drafted_ + n_drafted, 1'000);
  const double weight = static_cast<double>(n_drafted) / static_cast<double>(n_drafted_);
  const double share = static_cast<double>(n_accepted) / static_cast<double>(n_drafted);
  acceptance_ += std::min(1.0, weight) * (share - acceptance_);
}

}  // namespace fathom
