// A source of numbers that look random and follow from a counter: mix64(key + i) for i = 0, 1, 2,
// ... Any of them can be had without those before it, so that threads share the work and the result
// is the same.
#pragma once

#include <cstdint>

namespace fathom {

// The finaliser of SplitMix64 (Steele, Lea, Flood 2014), a bijection.
constexpr uint64_t mix64(uint64_t z) {
  z += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

}  // namespace fathom
