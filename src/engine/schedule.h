// How one step's rows of prompts are shared between the requests whose prompts are being read.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace fathom {

struct PrefillNeed {
  int64_t n_cached;   // positions already in the cache
  int64_t n_pending;  // rows that it could use, 1 or more
};

// Beyond so many cached positions a piece has at least kDeepPieceRows rows, or all that are
// pending: each pass expands the earlier keys again (docs/numerics.md 5).
inline constexpr int64_t kDeepPosition = 2048;
inline constexpr int64_t kDeepPieceRows = 512;

// Rows for each need, which stand in line by priority and arrival; together at most n_rows. The
// first in line gets half at least, so that it never waits for others; the rest goes to those with
// the fewest rows left, so that a long prompt does not hold up short ones; what they leave goes
// down the line.
void share_prefill(std::span<const PrefillNeed> needs, int64_t n_rows, std::vector<int64_t>& rows);

}  // namespace fathom
