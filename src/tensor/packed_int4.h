// The fit of INT4 groups: scale, minimum and codes for up to eight rows of 64 columns. Internal to
// packed.cc.
#pragma once

#include <array>
#include <cstdint>

#include "tensor/numeric.h"
#include "tensor/packed.h"

namespace fathom {

inline constexpr int64_t kInt4Columns = 64;
inline constexpr int64_t kInt4Lanes = 4;  // rows fitted side by side

struct Int4Groups {
  std::array<F16, kInt4Lanes> scale, min;
  std::array<std::array<uint8_t, kInt4Lanes>, kInt4Columns> codes;  // 0 .. 15
};

// n_rows <= 8 rows. False if a value is not finite or beyond F16.
bool fit_int4(const float* w, int64_t ldw, int64_t n_rows, int64_t n_cols, Int4Fit fit,
              Int4Groups& out);

// Added and taken away again, it leaves the nearest integer (ties to even) of what is far below
// 2^22, without instructions for rounding.
inline constexpr float kRoundingShift = 12582912;  // 1.5 * 2^23
inline float round_to_integer(float value) { return (value + kRoundingShift) - kRoundingShift; }

}  // namespace fathom
