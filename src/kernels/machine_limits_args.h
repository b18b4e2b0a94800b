// The loops behind machine_limits.h, one set per instruction set.
#pragma once

#include <cstdint>

namespace fathom {

// Each arithmetic loop does `steps` steps in registers and returns the operations done; *sink keeps
// the result alive.
#define FATHOM_MACHINE_LIMIT_LOOPS                         \
  uint64_t limit_read(const uint8_t* data, int64_t bytes); \
  int64_t limit_fp32(int64_t steps, float* sink);          \
  int64_t limit_bf16(int64_t steps, float* sink);          \
  int64_t limit_int8(int64_t steps, float* sink);

namespace ref {
FATHOM_MACHINE_LIMIT_LOOPS
}
namespace avx2 {
FATHOM_MACHINE_LIMIT_LOOPS
}
namespace avx512 {
FATHOM_MACHINE_LIMIT_LOOPS
}
namespace neon {
FATHOM_MACHINE_LIMIT_LOOPS
}
#undef FATHOM_MACHINE_LIMIT_LOOPS
namespace amx {
int64_t limit_bf16(int64_t steps, float* sink);
int64_t limit_int8(int64_t steps, float* sink);
}  // namespace amx

struct MachineLimitLoops {
  uint64_t (*read)(const uint8_t* data, int64_t bytes) = nullptr;
  int64_t (*fp32)(int64_t steps, float* sink) = nullptr;
  int64_t (*bf16)(int64_t steps, float* sink) = nullptr;
  int64_t (*int8)(int64_t steps, float* sink) = nullptr;
};

}  // namespace fathom
