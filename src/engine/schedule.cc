#include "engine/schedule.h"

#include <algorithm>
#include <numeric>

namespace fathom {

namespace {

// What a need takes of n_left, n_have of which it has already.
int64_t grant(const PrefillNeed& need, int64_t n_have, int64_t n_left) {
  const int64_t n = std::min(need.n_pending - n_have, n_left);
  const bool is_deep = need.n_cached >= kDeepPosition;
  const bool is_short = n_have + n < std::min(need.n_pending, kDeepPieceRows);
  return is_deep && is_short ? 0 : n;
}

}  // namespace

void share_prefill(std::span<const PrefillNeed> needs, int64_t n_rows, std::vector<int64_t>& rows) {
  rows.assign(needs.size(), 0);
  if (needs.empty()) return;
  int64_t left = n_rows;
  const auto give = [&](size_t i, int64_t most) {
    const int64_t n = grant(needs[i], rows[i], std::min(left, most));
    rows[i] += n;
    left -= n;
  };
  // Half of a step that is too short for the first's smallest piece is of no use to it.
  const int64_t half = needs[0].n_cached >= kDeepPosition
                           ? std::max(n_rows / 2, std::min(n_rows, kDeepPieceRows))
                           : (n_rows + 1) / 2;
  give(0, half);
  std::vector<size_t> shortest(needs.size() - 1);
  std::iota(shortest.begin(), shortest.end(), size_t{1});
  std::stable_sort(shortest.begin(), shortest.end(),
                   [&](size_t a, size_t b) { return needs[a].n_pending < needs[b].n_pending; });
  for (const size_t i : shortest) give(i, left);
  for (size_t i = 0; i < needs.size(); ++i) give(i, left);
  // A step shorter than the smallest deep piece still goes on.
  if (left == n_rows) rows[0] = std::min(needs[0].n_pending, n_rows);
}

}  // namespace fathom
