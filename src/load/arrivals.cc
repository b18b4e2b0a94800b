#include "load/arrivals.h"

#include <algorithm>
#include <cmath>

namespace fathom {

int64_t whole_number_between(uint64_t key, uint64_t i, int64_t low, int64_t high) {
  const double width = static_cast<double>(high - low) + 1;
  return std::min(high, low + static_cast<int64_t>(unit_number(key, i) * width));
}

PoissonArrivals::PoissonArrivals(double rate, uint64_t seed)
    : rate_(rate), key_(mix64_key(seed, "arrivals")) {}

double PoissonArrivals::next() {
  at_s_ -= std::log1p(-unit_number(key_, n_++)) / rate_;
  return at_s_;
}

}  // namespace fathom
