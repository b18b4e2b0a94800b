// Goal: the measured limits are numbers of this machine's order, on every instruction set. Method:
// bounds that any machine keeps; more would test the neighbours on this machine.
#include "kernels/machine_limits.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

TEST(MachineLimits, ArePlausible) {
  Pool pool(2);
  const MachineMeter meter(int64_t{8} << 20);
  EXPECT_EQ(meter.buffer_bytes(), int64_t{8} << 20);
  for (Isa isa : available_isas()) {
    const MachineLimits limits = meter.measure({isa, &pool}, 4);
    // Below: a machine a hundred times slower than any that runs this. Above: a thousand cores of
    // today's.
    for (double v :
         {limits.read_gb_s, limits.fp32_gflop_s, limits.bf16_gflop_s, limits.int8_gop_s}) {
      EXPECT_GT(v, 0.01) << isa_name(isa);
      EXPECT_LT(v, 1e6) << isa_name(isa);
    }
    // Two measurements of the same loop are among the two that bf16 takes the larger of; neighbours
    // may disturb both.
    EXPECT_GT(limits.bf16_gflop_s, 0.1 * limits.fp32_gflop_s) << isa_name(isa);
  }
}

}  // namespace
}  // namespace fathom
