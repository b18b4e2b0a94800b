#include "base/xxh64.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace fathom {

namespace {

constexpr uint64_t kPrime1 = 0x9e3779b185ebca87u;
constexpr uint64_t kPrime2 = 0xc2b2ae3d27d4eb4fu;
constexpr uint64_t kPrime3 = 0x165667b19e3779f9u;
constexpr uint64_t kPrime4 = 0x85ebca77c2b2ae63u;
constexpr uint64_t kPrime5 = 0x27d4eb2f165667c5u;
constexpr size_t kStripe = 32;

// Little-endian, as all machines that this runs on.
template <typename T>
T load(const std::byte* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

uint64_t round(uint64_t lane, uint64_t input) {
  return std::rotl(lane + input * kPrime2, 31) * kPrime1;
}

uint64_t merge(uint64_t hash, uint64_t lane) { return (hash ^ round(0, lane)) * kPrime1 + kPrime4; }

}  // namespace

Xxh64::Xxh64() : lanes_{kPrime1 + kPrime2, kPrime2, 0, 0 - kPrime1} {}

void Xxh64::stripe(const std::byte* bytes) {
  for (size_t i = 0; i < 4; ++i) lanes_[i] = round(lanes_[i], load<uint64_t>(bytes + 8 * i));
}

void Xxh64::update(std::span<const std::byte> bytes) {
  total_bytes_ += bytes.size();
  if (tail_bytes_ > 0) {
    const size_t n = std::min(kStripe - tail_bytes_, bytes.size());
    std::memcpy(tail_.data() + tail_bytes_, bytes.data(), n);
    tail_bytes_ += n;
    bytes = bytes.subspan(n);
    if (tail_bytes_ < kStripe) return;
    stripe(tail_.data());
    tail_bytes_ = 0;
  }
  for (; bytes.size() >= kStripe; bytes = bytes.subspan(kStripe)) stripe(bytes.data());
  if (!bytes.empty()) std::memcpy(tail_.data(), bytes.data(), bytes.size());
  tail_bytes_ = bytes.size();
}

uint64_t Xxh64::digest() const {
  uint64_t hash = kPrime5;
  if (total_bytes_ >= kStripe) {
    hash = std::rotl(lanes_[0], 1) + std::rotl(lanes_[1], 7) + std::rotl(lanes_[2], 12) +
           std::rotl(lanes_[3], 18);
    for (const uint64_t lane : lanes_) hash = merge(hash, lane);
  }
  hash += total_bytes_;
  size_t i = 0;
  for (; i + 8 <= tail_bytes_; i += 8) {
    hash = std::rotl(hash ^ round(0, load<uint64_t>(tail_.data() + i)), 27) * kPrime1 + kPrime4;
  }
  if (i + 4 <= tail_bytes_) {
    hash = std::rotl(hash ^ (uint64_t{load<uint32_t>(tail_.data() + i)} * kPrime1), 23) * kPrime2 +
           kPrime3;
    i += 4;
  }
  for (; i < tail_bytes_; ++i) {
    hash = std::rotl(hash ^ (std::to_integer<uint64_t>(tail_[i]) * kPrime5), 11) * kPrime1;
  }
  hash = (hash ^ (hash >> 33)) * kPrime2;
  hash = (hash ^ (hash >> 29)) * kPrime3;
  return hash ^ (hash >> 32);
}

std::string xxh64_hex(uint64_t digest) {
  std::string out;
  for (int shift = 60; shift >= 0; shift -= 4) out += "0123456789abcdef"[(digest >> shift) & 15u];
  return out;
}

}  // namespace fathom
