// What this machine can do at most with the chosen instruction set and threads: the numbers that
// speeds are put beside. Measured, not looked up: memory read once and arithmetic in registers,
// medians of repeated passes.
#pragma once

#include <cstdint>

#include "kernels/dispatch.h"
#include "tensor/buffer.h"

namespace fathom {

// One multiplication and one addition count as two operations.
struct MachineLimits {
  double read_gb_s = 0;     // 10^9 bytes of memory a second
  double fp32_gflop_s = 0;  // F32 fma
  double bf16_gflop_s =
      0;  // BF16 products added in F32: the faster of fma on widened values and VDPBF16PS
  double int8_gop_s = 0;  // 8-bit products added in 32 bits
};

class MachineMeter {
 public:
  // The buffer should be several times larger than the last-level cache; 1 GiB is, on most
  // machines.
  explicit MachineMeter(int64_t buffer_bytes = int64_t{1} << 30);
  int64_t buffer_bytes() const { return buffer_.size(); }

  // Each takes about milliseconds (at least three passes). One caller at a time, no other work on
  // the pool.
  double read_gb_s(const Compute& compute, int64_t milliseconds) const;
  static double fp32_gflop_s(const Compute& compute, int64_t milliseconds);
  static double bf16_gflop_s(const Compute& compute, int64_t milliseconds);
  static double int8_gop_s(const Compute& compute, int64_t milliseconds);
  // All four, each for milliseconds.
  MachineLimits measure(const Compute& compute, int64_t milliseconds) const;

 private:
  Buffer<uint8_t> buffer_;
};

}  // namespace fathom
