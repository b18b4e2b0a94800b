// A source of numbers that look random and follow from a counter: mix64(key + i) for i = 0, 1, 2,
// ... Any of them can be had without those before it, so that threads share the work and the result
// is the same.
#pragma once

#include <cstdint>
#include <string_view>

namespace fathom {

// The finaliser of SplitMix64 (Steele, Lea, Flood 2014), a bijection.
constexpr uint64_t mix64(uint64_t z) {
  z += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// A key for the numbers that belong to a name.
constexpr uint64_t mix64_key(uint64_t seed, std::string_view name) {
  uint64_t key = mix64(seed);
  for (const char c : name) key = mix64(key ^ static_cast<uint8_t>(c));
  return key;
}

}  // namespace fathom
