// Plain loops: what code without vectors of its own reaches.
#include "kernels/machine_limits_args.h"

namespace fathom::ref {

namespace {
constexpr int kSums = 8;
}

uint64_t limit_read(const uint8_t* data, int64_t bytes) {
  uint64_t sums[kSums] = {};
  const auto* words = reinterpret_cast<const uint64_t*>(data);
  for (int64_t i = 0; i < bytes / 8; i += kSums) {
    for (int j = 0; j < kSums; ++j) sums[j] += words[i + j];
  }
  uint64_t total = 0;
  for (uint64_t sum : sums) total += sum;
  return total;
}

int64_t limit_fp32(int64_t steps, float* sink) {
  float sums[kSums] = {1, 2, 3, 4, 5, 6, 7, 8};
  const float factor = 0.5f + *sink * 1e-9f;
  for (int64_t i = 0; i < steps; ++i) {
    for (float& sum : sums) sum = sum * factor + factor;
  }
  for (float sum : sums) *sink += sum * 1e-9f;
  return steps * kSums * 2;
}

int64_t limit_bf16(int64_t steps, float* sink) { return limit_fp32(steps, sink); }

int64_t limit_int8(int64_t steps, float* sink) {
  uint32_t sums[kSums] = {1, 2, 3, 4, 5, 6, 7, 8};
  const uint32_t factor = 3 + static_cast<uint32_t>(*sink);
  for (int64_t i = 0; i < steps; ++i) {
    for (uint32_t& sum : sums) sum = sum * factor + 1;
  }
  for (uint32_t sum : sums) *sink += static_cast<float>(sum & 1u) * 1e-9f;
  return steps * kSums * 2;
}

}  // namespace fathom::ref
