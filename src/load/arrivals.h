// Numbers that look random and follow from a seed, and the moments at which requests of an open
// loop are due by them.
#pragma once

#include <cstdint>

#include "base/mix64.h"

namespace fathom {

// The i-th number of a key, uniform in [0, 1).
inline double unit_number(uint64_t key, uint64_t i) {
  return static_cast<double>(mix64(key + i) >> 11) * 0x1p-53;
}
// The same in [low, high], both included; low <= high.
int64_t whole_number_between(uint64_t key, uint64_t i, int64_t low, int64_t high);

// A Poisson process: requests come whether or not earlier ones are answered, as many people's do.
class PoissonArrivals {
 public:
  // rate: arrivals a second on average, > 0.
  PoissonArrivals(double rate, uint64_t seed);
  // Seconds from the beginning; never falls.
  double next();

 private:
  double rate_;
  uint64_t key_;
  uint64_t n_ = 0;
  double at_s_ = 0;
};

}  // namespace fathom
